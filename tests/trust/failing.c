/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Preloaded into a Python process: knows every block that watched libraries allocate, and makes
 * their n-th allocation from now fail. Who allocates is told by the address that the call returns
 * to, so that neither Python nor the C library is disturbed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void __libc_free(void *block);

enum { RANGES_MAX = 16, BLOCKS_MAX = 1 << 20 };

static struct range {
    uintptr_t from, to;
} ranges[RANGES_MAX];
static size_t range_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *blocks[BLOCKS_MAX]; /* open addressing */
static long live, made;
static unsigned long left; /* allocations until one fails; 0: none will */
static bool once, struck;

static size_t slot_of(const void *block) {
    return ((uintptr_t)block >> 4) * 0x9E3779B97F4A7C15u >> 44;
}

static void remember(void *block) {
    if (!block)
        return;
    pthread_mutex_lock(&lock);
    size_t at = slot_of(block);
    while (blocks[at])
        at = (at + 1) % BLOCKS_MAX;
    blocks[at] = block;
    live++;
    made++;
    pthread_mutex_unlock(&lock);
}

/* Those behind it move up, so that a search still ends at the first empty slot. */
static void close_gap(size_t gap) {
    for (size_t at = (gap + 1) % BLOCKS_MAX; blocks[at]; at = (at + 1) % BLOCKS_MAX) {
        size_t home = slot_of(blocks[at]);
        if ((at - home) % BLOCKS_MAX < (at - gap) % BLOCKS_MAX)
            continue;
        blocks[gap] = blocks[at];
        gap = at;
    }
    blocks[gap] = NULL;
}

static bool forget(const void *block) {
    if (!block || !range_count)
        return false;
    pthread_mutex_lock(&lock);
    size_t at = slot_of(block);
    while (blocks[at] && blocks[at] != block)
        at = (at + 1) % BLOCKS_MAX;
    bool known = blocks[at];
    if (known) {
        close_gap(at);
        live--;
    }
    pthread_mutex_unlock(&lock);
    return known;
}

static bool is_watched(const void *caller) {
    for (size_t i = 0; i < range_count; i++)
        if ((uintptr_t)caller >= ranges[i].from && (uintptr_t)caller < ranges[i].to)
            return true;
    return false;
}

static bool is_due(void) {
    if (left == 0 || --left > 0)
        return false;
    left = once ? 0 : 1;
    struck = true;
    errno = ENOMEM;
    return true;
}

EXPORT void *malloc(size_t size) {
    if (!is_watched(CALLER))
        return __libc_malloc(size);
    void *block = is_due() ? NULL : __libc_malloc(size);
    remember(block);
    return block;
}

EXPORT void *calloc(size_t count, size_t size) {
    if (!is_watched(CALLER))
        return __libc_calloc(count, size);
    void *block = is_due() ? NULL : __libc_calloc(count, size);
    remember(block);
    return block;
}

static void *resize(void *old, size_t size, const void *caller) {
    bool watched = is_watched(caller);
    if (watched && is_due())
        return NULL;
    bool known = forget(old);
    void *block = __libc_realloc(old, size);
    if (watched || known)
        remember(block ? block : size ? old : NULL);
    return block;
}

EXPORT void *realloc(void *old, size_t size) {
    return resize(old, size, CALLER);
}

EXPORT void *reallocarray(void *old, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return resize(old, bytes, CALLER);
}

EXPORT void free(void *block) {
    int saved = errno;
    forget(block);
    __libc_free(block);
    errno = saved;
}

static char *copy(const char *text, size_t length, const void *caller) {
    bool watched = is_watched(caller);
    char *out = watched && is_due() ? NULL : __libc_malloc(length + 1);
    if (!out)
        return NULL;
    memcpy(out, text, length);
    out[length] = '\0';
    if (watched)
        remember(out);
    return out;
}

EXPORT char *strdup(const char *text) {
    return copy(text, strlen(text), CALLER);
}

EXPORT char *strndup(const char *text, size_t length) {
    return copy(text, strnlen(text, length), CALLER);
}

EXPORT int __vasprintf_chk(char **out, int flag, const char *format, va_list args) {
    int (*next)(char **, int, const char *, va_list) =
        (int (*)(char **, int, const char *, va_list))(uintptr_t)dlsym(RTLD_NEXT,
                                                                      "__vasprintf_chk");
    bool watched = is_watched(CALLER);
    if (watched && is_due())
        return -1;
    int length = next(out, flag, format, args);
    if (watched && length >= 0)
        remember(*out);
    return length;
}

static int add_range(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size;
    if (!strstr(info->dlpi_name, data))
        return 0;
    struct range found = {UINTPTR_MAX, 0};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        found.from = from < found.from ? from : found.from;
        found.to = from + info->dlpi_phdr[i].p_memsz > found.to
                       ? from + info->dlpi_phdr[i].p_memsz
                       : found.to;
    }
    if (range_count < RANGES_MAX)
        ranges[range_count++] = found;
    return 0;
}

/* Watches the loaded libraries with this in their names; how many are watched now. */
EXPORT size_t failing_watch(char *part) {
    dl_iterate_phdr(add_range, part);
    return range_count;
}

/* Makes the n-th allocation from now fail (1: the next), and where not only once, all after it.
 * 0: none. */
EXPORT void failing_arm(unsigned long nth, int only_once) {
    left = nth;
    once = only_once;
    struck = false;
}

/* Whether one was made to fail since then. */
EXPORT int failing_struck(void) {
    return struck;
}

/* The blocks that watched libraries allocated and nobody freed yet. */
EXPORT long failing_live(void) {
    return live;
}

/* All that they ever allocated. */
EXPORT long failing_made(void) {
    return made;
}
