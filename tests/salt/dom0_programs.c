/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stands in for dom0's programs below a test root, where nothing but this file can run: `xl info`,
 * `grub2-mkconfig -o FILE`, `qvm-run`, `qvm-template` and `qvm-appmenus`, by the name it is called
 * by. What Qubes' own were called with is a line of /ran. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int xl(void) {
    puts("host                   : dom0");
    bool off = access("/vt-d-off", F_OK) == 0; /* as in the firmware's setup */
    printf("virt_caps              : pv hvm %shap\n", off ? "" : "hvm_directio pv_directio ");
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

/* The words after `--`; argv's end where there is none. */
static char **operands(char **argv) {
    while (*argv && strcmp(*argv, "--") != 0)
        argv++;
    return *argv ? argv + 1 : argv;
}

/* Runs nothing: the command `fail` fails, any other is said to be done. */
static int qvm_run(char **argv) {
    char **words = operands(argv);
    if (!words[0] || !words[1])
        return 2;
    if (strcmp(words[1], "fail") == 0) {
        fprintf(stderr, "fail: no such program in %s\n", words[0]);
        return 3;
    }
    printf("%s does it\ndone: %s\n", words[0], words[1]);
    return 0;
}

/* Makes the qube as the real one does, by a call to qubesd: the socket is linked into the root. */
static int make_template(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/qubesd.sock"};
    char request[256], reply[256];
    int length =
        snprintf(request, sizeof(request),
                 "admin.vm.Create.TemplateVM+ dom0 name dom0%cname=%s label=black", 0, name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        write(fd, request, (size_t)length) != length || shutdown(fd, SHUT_WR) < 0)
        return 1;
    ssize_t got = read(fd, reply, sizeof(reply));
    close(fd);
    return got > 0 && reply[0] == '0' ? 0 : 1;
}

/* Knows fedora-41-xfce; installs all but those whose name ends with -broken or -nothing. */
static int qvm_template(char **argv) {
    const char *name = operands(argv)[0];
    if (!argv[1] || !name)
        return 2;
    if (strcmp(argv[1], "info") == 0) {
        bool known = strcmp(name, "fedora-41-xfce") == 0;
        fputs("qvm-template: a word of warning\n", stderr);
        if (known)
            puts("[{\"name\": \"fedora-41-xfce\", \"version\": \"4.3.0\"}]");
        return known ? 0 : 1;
    }
    const char *end = strrchr(name, '-');
    printf("Downloading %s\n", name);
    if (end && strcmp(end, "-broken") == 0)
        fputs("ERROR: no space left on device\n", stderr);
    else if (end && strcmp(end, "-nothing") == 0)
        return 0;
    else
        return make_template(name);
    return 1;
}

/* Fails where there is a file /appmenus-fails. */
static int qvm_appmenus(void) {
    bool fails = access("/appmenus-fails", F_OK) == 0;
    if (fails)
        fputs("qvm-appmenus: no such template\n", stderr);
    return fails ? 1 : 0;
}

static int note_call(const char *name, char **argv) {
    FILE *ran = fopen("/ran", "a");
    if (!ran)
        return -1;
    fputs(name, ran);
    for (char **word = argv + 1; *word; word++)
        fprintf(ran, " %s", *word);
    fputs("\n", ran);
    return fclose(ran);
}

int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    if (strcmp(name, "xl") == 0)
        return xl();
    if (strncmp(name, "qvm-", 4) != 0)
        return argc == 3 && strcmp(argv[1], "-o") == 0 ? mkconfig(argv[2]) : 2;
    if (note_call(name, argv) < 0)
        return 2;
    if (strcmp(name, "qvm-run") == 0)
        return qvm_run(argv);
    return strcmp(name, "qvm-template") == 0 ? qvm_template(argv) : qvm_appmenus();
}
