/* SPDX-License-Identifier: MIT */
/* A number beside the lock that guards it: one slot, one reference, one cache line. */
#ifndef MPFAST_BESIDE_H
#define MPFAST_BESIDE_H

#include "core/locks/lock.h"

#define BESIDE_AT 48u /* where the number lies in the slot of a lock */
#define BESIDE_SIZE (SMALL_SLOT_SIZE - BESIDE_AT)

_Static_assert(sizeof(struct lock) <= BESIDE_AT, "the lock ends before the number begins");

#endif
