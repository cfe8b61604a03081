# SPDX-License-Identifier: MIT
cdef tell_callback(answer)
