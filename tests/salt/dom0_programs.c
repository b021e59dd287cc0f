/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stands in for dom0's programs below a test root, where nothing but this file can run: `xl info`
 * and `grub2-mkconfig -o FILE`, by the name it is called by. */
#include <stdio.h>
#include <string.h>

static int xl(void) {
    puts("host                   : dom0");
    puts("virt_caps              : pv hvm hvm_directio pv_directio hap");
    puts("total_memory           : 32624");
    return 0;
}

/* Puts the settings' command line behind a kernel; a file named /mkconfig-fails makes it fail. */
static int mkconfig(const char *path) {
    char line[4096], value[4096] = "";
    FILE *fails = fopen("/mkconfig-fails", "r");
    if (fails) {
        fputs("/usr/sbin/grub2-probe: error: no such device\n", stderr);
        return 1;
    }
    FILE *settings = fopen("/etc/default/grub", "r");
    while (settings && fgets(line, sizeof(line), settings))
        sscanf(line, "GRUB_CMDLINE_LINUX=\"%4095[^\"]", value);
    FILE *menu = fopen(path, "w");
    if (!settings || !menu)
        return 1;
    fprintf(menu, "menuentry 'Qubes' {\n  module2 /vmlinuz-6.6.68-1.qubes.fc41 root=/dev/x %s\n}\n",
            value);
    fprintf(menu, "menuentry 'Another system' {\n  linux /vmlinuz root=/dev/y\n}\n");
    return fclose(menu);
}

int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    if (strcmp(name, "xl") == 0)
        return xl();
    return argc == 3 && strcmp(argv[1], "-o") == 0 ? mkconfig(argv[2]) : 2;
}
