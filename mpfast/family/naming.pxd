# SPDX-License-Identifier: MIT
"""The public name of an extension type. Reprs and pickles use it instead of the room where the type is made."""

cdef extern from *:
    """
    /* What stands before the last dot of a static type's name is its module. */
    static void name_type(PyObject *type, const char *name) { ((PyTypeObject *)type)->tp_name = name; }
    """
    void name_type(object type, const char *name)
