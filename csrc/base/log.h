/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The log sink: the library never prints, whoever embeds it decides where lines go. */
#ifndef QG_BASE_LOG_H
#define QG_BASE_LOG_H

#include "base/cleanup.h"

enum qg_log_level { QG_LOG_DEBUG, QG_LOG_INFO, QG_LOG_WARNING };

struct qg_log {
    void (*emit)(void *data, enum qg_log_level level, const char *line); /* NULL: silence */
    void *data;
};

/* One line, cleaned of control characters. Keeps errno. log may be NULL. */
void qg_log(const struct qg_log *log, enum qg_log_level level, const char *format, ...)
    QG_PRINTF(3, 4);

#endif
