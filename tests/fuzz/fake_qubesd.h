/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stands in for net/call.c and base/clock.c: answers come from the input or, once that is used up,
 * are a small qubesd's; time passes only when somebody asks for it. No descriptor is opened. */
#ifndef QG_FAKE_QUBESD_H
#define QG_FAKE_QUBESD_H

#include "fuzz.h"

/* Answers of the input, NUL-terminated each: `=` what qubesd itself would say, `!` TYPE an
 * exception, `~` nothing at all, anything else the data of the reply. */
void fake_begin(struct input answers, bool dry);

#endif
