/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/nvml.h"

#include "base/text.h"
#include "host/host.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* The library's interface, as far as we use it; its header is not needed. */
struct memory {
    unsigned long long total, available, used;
};

struct library {
    int (*init)(void);
    int (*shutdown)(void);
    const char *(*error_text)(int code);
    int (*driver_version)(char *out, unsigned size);
    int (*count)(unsigned *out);
    int (*card)(unsigned index, void **out);
    int (*name)(void *card, char *out, unsigned size);
    int (*memory)(void *card, struct memory *out);
};

/* dlsym gives a data pointer for a function. */
static bool resolve(void *handle, const char *symbol, void *slot, size_t size) {
    void *found = dlsym(handle, symbol);
    memcpy(slot, &found, size);
    return found != NULL;
}

static bool load(void *handle, struct library *out) {
#define RESOLVE(symbol, field) resolve(handle, symbol, &out->field, sizeof(out->field))
    return RESOLVE("nvmlInit_v2", init) && RESOLVE("nvmlShutdown", shutdown) &&
           RESOLVE("nvmlErrorString", error_text) &&
           RESOLVE("nvmlSystemGetDriverVersion", driver_version) &&
           RESOLVE("nvmlDeviceGetCount_v2", count) &&
           RESOLVE("nvmlDeviceGetHandleByIndex_v2", card) && RESOLVE("nvmlDeviceGetName", name) &&
           RESOLVE("nvmlDeviceGetMemoryInfo", memory);
#undef RESOLVE
}

static void set_failed(struct qg_nvml *out, const struct library *library, int code) {
    const char *text = library->error_text(code);
    out->state = QG_NVML_FAILED;
    out->code = code;
    snprintf(out->text, sizeof(out->text), "%s", text ? text : "unknown error");
}

static void ask_cards(const struct library *library, struct qg_nvml *out) {
    int code = library->driver_version(out->driver, sizeof(out->driver));
    if (code == 0)
        code = library->count(&out->count);
    for (unsigned i = 0; code == 0 && i < out->count && i < QG_NVML_CARDS_MAX; i++) {
        void *card = NULL;
        struct memory memory = {0};
        code = library->card(i, &card);
        if (code == 0)
            code = library->name(card, out->cards[i].name, sizeof(out->cards[i].name));
        if (code == 0)
            code = library->memory(card, &memory);
        out->cards[i].memory = memory.total;
    }
    if (code)
        set_failed(out, library, code);
}

static void ask(struct qg_nvml *out) {
    void *handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    struct library library;
    out->state = QG_NVML_NO_LIBRARY;
    if (!handle || !load(handle, &library)) {
        const char *reason = dlerror();
        snprintf(out->text, sizeof(out->text), "%s", reason ? reason : "no such library");
        return;
    }
    out->state = QG_NVML_WORKS;
    int code = library.init();
    if (code) {
        set_failed(out, &library, code);
        return;
    }
    ask_cards(&library, out);
    (void)library.shutdown();
}

/* What goes through the pipe first: whom to end where no answer comes. */
static bool write_whole(int fd, const void *bytes, size_t length) {
    return write(fd, bytes, length) == (ssize_t)length; /* less than PIPE_BUF: all or nothing */
}

_Static_assert(sizeof(struct qg_nvml) <= 4096, "an answer must be one write to a pipe");

static _Noreturn void work(int pipe_end) {
    struct qg_nvml answer = {0};
    int fd = qg_host_detach(pipe_end); /* one that hangs for ever keeps nothing of ours open */
    pid_t self = getpid();
    if (write_whole(fd, &self, sizeof(self))) {
        ask(&answer);
        (void)write_whole(fd, &answer, sizeof(answer));
    }
    _exit(0);
}

/* Starts the worker as nobody's child: one that hangs in the kernel cannot be waited for. */
static int start_worker(int fd, struct qg_err *err) {
    pid_t middle = fork();
    if (middle < 0)
        return qg_err_errno(err, "cannot ask NVML");
    if (middle == 0) {
        pid_t worker = fork();
        if (worker == 0)
            work(fd);
        _exit(worker < 0);
    }
    int status = 0;
    while (waitpid(middle, &status, 0) < 0 && errno == EINTR)
        ;
    return status ? qg_err_set(err, QG_ERR_IO, "cannot ask NVML: no process for it") : 0;
}

/* Reads exactly so much before the deadline. *ended: nobody is left who could write. */
static bool read_whole(int fd, void *out, size_t length, const struct qg_deadline *deadline,
                       bool *ended) {
    size_t done = 0;
    while (done < length) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        int ready = poll(&polled, 1, qg_deadline_left(deadline));
        if (ready < 0 && errno == EINTR && !qg_deadline_interrupted(deadline))
            continue;
        if (ready <= 0)
            return false;
        ssize_t got = read(fd, (char *)out + done, length - done);
        *ended = got == 0;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* The answer of a process in which somebody else's library ran. */
static void clean_answer(struct qg_nvml *answer) {
    if ((unsigned)answer->state > QG_NVML_HANGS)
        answer->state = QG_NVML_HANGS;
    answer->text[sizeof(answer->text) - 1] = '\0';
    answer->driver[sizeof(answer->driver) - 1] = '\0';
    qg_text_clean(answer->text);
    qg_text_clean(answer->driver);
    for (size_t i = 0; i < QG_NVML_CARDS_MAX; i++) {
        answer->cards[i].name[sizeof(answer->cards[i].name) - 1] = '\0';
        qg_text_clean(answer->cards[i].name);
    }
}

int qg_nvml_ask(const struct qg_deadline *deadline, struct qg_nvml *out, struct qg_err *err) {
    int ends[2];
    *out = (struct qg_nvml){.state = QG_NVML_HANGS};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return qg_err_errno(err, "cannot ask NVML");
    QG_AUTO_FD int read_end = ends[0];
    QG_AUTO_FD int write_end = ends[1];
    if (start_worker(write_end, err) < 0)
        return -1;
    qg_fd_close(&write_end);
    pid_t worker = 0;
    struct qg_nvml answer;
    bool ended = false;
    if (read_whole(read_end, &worker, sizeof(worker), deadline, &ended) &&
        read_whole(read_end, &answer, sizeof(answer), deadline, &ended)) {
        clean_answer(&answer);
        *out = answer;
    } else if (ended) { /* its number may be another's by now */
        *out = (struct qg_nvml){.state = QG_NVML_FAILED,
                                .code = QG_NVML_ERROR_UNKNOWN,
                                .text = "the library ended without an answer"};
    } else if (worker > 1) {
        (void)kill(worker, SIGKILL);
    }
    return 0;
}
