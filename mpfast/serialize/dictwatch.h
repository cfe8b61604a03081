/* SPDX-License-Identifier: MIT */
/* Has a dict changed? Answered without looking into it. Reducers can be registered at any time, so every put asks.
 *
 * Python 3.12 and later call back when a watched dict changes. 3.11 numbers the states of every dict. */
#ifndef MPFAST_DICTWATCH_H
#define MPFAST_DICTWATCH_H

#include <Python.h>

#include "core/base/atomic.h"

#if PY_VERSION_HEX >= 0x030C0000

static shared64 dictwatch_changes; /* of all watched dicts together */
static shared32 dictwatch_blind;   /* no watcher of the interpreter's is left, so every dict counts as changed */

static int dictwatch_event(PyDict_WatchEvent event, PyObject *dict, PyObject *key, PyObject *value)
{
    (void)event, (void)dict, (void)key, (void)value;
    add_relaxed(&dictwatch_changes, 1);
    return 0;
}

/* May be called for further dicts. All of them have one watcher, because an interpreter has no more than eight. */
static inline void dictwatch_begin(PyObject *first, PyObject *second)
{
    static int watcher = -1;
    if (watcher < 0)
        watcher = PyDict_AddWatcher(dictwatch_event);
    add_relaxed(&dictwatch_changes, 1);
    if (watcher < 0 || PyDict_Watch(watcher, first) < 0 || PyDict_Watch(watcher, second) < 0) {
        PyErr_Clear();
        store_relaxed(&dictwatch_blind, 1);
    }
}

static inline uint64_t dictwatch_state(PyObject *first, PyObject *second)
{
    (void)first, (void)second;
    if (load_relaxed(&dictwatch_blind))
        add_relaxed(&dictwatch_changes, 1);
    return load_relaxed(&dictwatch_changes) + 1;
}

#else

static inline void dictwatch_begin(PyObject *first, PyObject *second) { (void)first, (void)second; }

/* Each tag is given once in the life of a process, and the larger one is that of the last change. */
static inline uint64_t dictwatch_state(PyObject *first, PyObject *second)
{
    uint64_t a = ((PyDictObject *)first)->ma_version_tag, b = ((PyDictObject *)second)->ma_version_tag;
    return a > b ? a : b;
}

#endif
#endif
