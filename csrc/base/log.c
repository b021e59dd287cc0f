/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/log.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void qg_log(const struct qg_log *log, enum qg_log_level level, const char *format, ...) {
    if (!log || !log->emit)
        return;
    int saved = errno;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    qg_text_clean(line);
    log->emit(log->data, level, line);
    errno = saved;
}
