/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stands in for NVIDIA's library: /etc/bed/nvml says how it behaves (works, hangs, blind, crashes,
 * or the number that nvmlInit returns). What its process has open it leaves in /etc/bed/open. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *mode(void) {
    static char word[32];
    FILE *file = fopen("/etc/bed/nvml", "r");
    if (!file || fscanf(file, "%31s", word) != 1)
        word[0] = '\0';
    if (file)
        fclose(file);
    return word;
}

static void list_open(void) {
    FILE *list = fopen("/etc/bed/open", "w");
    int own = list ? fileno(list) : -1;
    for (int fd = 0; list && fd < 4096; fd++) {
        char path[32], target[256];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof(target));
        if (length > 0 && fd != own)
            fprintf(list, "%.*s\n", (int)length, target);
    }
    if (list)
        fclose(list);
}

int nvmlInit_v2(void) {
    list_open();
    if (strcmp(mode(), "crashes") == 0)
        abort();
    while (strcmp(mode(), "hangs") == 0)
        pause();
    return atoi(mode());
}

int nvmlShutdown(void) {
    return 0;
}

const char *nvmlErrorString(int code) {
    return code == 17 ? "GPU access blocked by the operating system" : "Some error";
}

int nvmlSystemGetDriverVersion(char *out, unsigned size) {
    snprintf(out, size, "565.77");
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *out) {
    *out = strcmp(mode(), "blind") != 0;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out) {
    *out = NULL;
    return index ? 2 : 0;
}

int nvmlDeviceGetName(void *card, char *out, unsigned size) {
    snprintf(out, size, "NVIDIA Stand-in%s", card ? "?" : "");
    return 0;
}

int nvmlDeviceGetMemoryInfo(void *card, unsigned long long out[3]) {
    out[0] = card ? 0 : 12ull << 30;
    return 0;
}
