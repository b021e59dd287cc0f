/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included before everything in the build for gcc 12's analyzer, which does not know reallocarray
 * and takes what it returns for something else than the heap. */
#include <stdlib.h>
#define reallocarray(ptr, count, size) realloc(ptr, (count) * (size))
