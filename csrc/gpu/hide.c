/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The states qvm_gpu.hidden and qvm_gpu.shown: GRUB's files in dom0. */
#include "base/text.h"
#include "doc/kernel_cmdline.h"
#include "gpu/functions.h"
#include "gpu/hidden.h"
#include "gpu/survey.h"

#include <string.h>

enum { MKCONFIG_TIMEOUT_MS = 180 * 1000, GRUB_MODE = 0644 };

static const char grub_backup[] = QG_GRUB_FILE ".before-qvm-gpu";

/* Where dom0's GRUB reads its menu: BIOS and newer EFI, older EFI. */
static const char *const grub_configs[] = {"/boot/grub2/grub.cfg", "/boot/efi/EFI/qubes/grub.cfg"};
static const char *const mkconfigs[] = {"grub2-mkconfig", "grub-mkconfig"};

/* One run of either state. */
struct hide {
    struct qg_run *run;
    const json_t *card; /* borrowed */
    bool hide;
    struct qg_buf old;                             /* /etc/default/grub as it is */
    char *new;                                     /* and as it should be */
    const char *stale[QG_ARRAY_LEN(grub_configs)]; /* menus that do not say so yet */
    size_t stale_count, menus;
    bool in_effect; /* dom0 booted that way */
};

static void hide_fini(struct hide *hide) {
    qg_buf_fini(&hide->old);
    qg_str_freep(&hide->new);
}

QG_DEFINE_AUTO_FINI(hide, struct hide, hide_fini)

/* True where a command line hides all functions of the card, or (shown) none of them. */
static int is_as_wanted(const struct hide *hide, const char *line, bool *wanted,
                        struct qg_err *err) {
    QG_AUTO(json) json_t *items = qg_cmdline_items(line, QG_HIDE_PCI, QG_CMDLINE_LAST, err);
    QG_AUTO(json) json_t *missing = items ? qg_hidden_missing(hide->card, items, err) : NULL;
    QG_AUTO(json) json_t *all = missing ? qg_hidden_missing(hide->card, NULL, err) : NULL;
    if (!all)
        return -1;
    *wanted = json_array_size(missing) == (hide->hide ? 0 : json_array_size(all));
    return 0;
}

/* Looks at the lines of a menu that load a kernel. Those of another system never hide anything, so
 * one that does is enough; none may where nothing is to be hidden. */
static int look_at_menu(struct hide *hide, const char *path, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf menu = {0};
    bool found;
    size_t kernels = 0, good = 0;
    if (qg_host_read(qg_run_host(hide->run), path, &menu, &found, err) < 0)
        return -1;
    char *rest = menu.data;
    for (char *line; found && rest && (line = strsep(&rest, "\n"));) {
        bool wanted;
        if (!strstr(line, "vmlinuz"))
            continue;
        if (is_as_wanted(hide, line, &wanted, err) < 0)
            return -1;
        kernels++;
        good += wanted;
    }
    hide->menus += kernels > 0; /* without a kernel it only points to the other one */
    if (kernels && (hide->hide ? good == 0 : good < kernels))
        hide->stale[hide->stale_count++] = path;
    return 0;
}

static int look_at_boot(struct hide *hide, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf booted = {0};
    bool found;
    if (qg_host_read(qg_run_host(hide->run), "/proc/cmdline", &booted, &found, err) < 0)
        return -1;
    return found ? is_as_wanted(hide, qg_buf_text(&booted), &hide->in_effect, err) : 0;
}

static int look(struct hide *hide, struct qg_err *err) {
    if (qg_host_read(qg_run_host(hide->run), QG_GRUB_FILE, &hide->old, NULL, err) < 0)
        return -1;
    hide->new =
        qg_hidden_text(qg_buf_text(&hide->old), hide->old.length, hide->card, hide->hide, err);
    if (!hide->new || look_at_boot(hide, err) < 0)
        return -1;
    for (size_t i = 0; i < QG_ARRAY_LEN(grub_configs); i++) {
        if (look_at_menu(hide, grub_configs[i], err) < 0)
            return -1;
    }
    return 0;
}

/* The program that writes menus; NULL without an error where there is none. */
static char *find_mkconfig(struct qg_host *host, struct qg_err *err) {
    char *program = NULL;
    for (size_t i = 0; i < QG_ARRAY_LEN(mkconfigs) && !program; i++)
        program = qg_host_which(host, mkconfigs[i], err);
    return program;
}

static int write_menu(struct hide *hide, const char *program, const char *path,
                      struct qg_err *err) {
    const char *const argv[] = {program, "-o", path, NULL};
    const struct qg_host_command command = {.argv = argv};
    struct qg_deadline deadline = qg_run_deadline(hide->run, MKCONFIG_TIMEOUT_MS);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    if (qg_host_run(qg_run_host(hide->run), &command, &deadline, &result, err) < 0)
        return -1;
    if (result.exit_code == 0)
        return 0;
    const char *tail = qg_buf_text(&result.out);
    size_t length = strlen(tail);
    return qg_err_set(err, QG_ERR_INVALID, "%s -o %s ended with %d: %s", program, path,
                      result.exit_code, length > 500 ? tail + length - 500 : tail);
}

static bool is_changed(const struct hide *hide) {
    return strcmp(hide->new, qg_buf_text(&hide->old)) != 0;
}

static int write_menus(struct hide *hide, const char *program, struct qg_report *report,
                       struct qg_err *err) {
    for (size_t i = 0; i < hide->stale_count; i++) {
        const char *const path[] = {hide->stale[i], NULL};
        if (write_menu(hide, program, hide->stale[i], err) < 0 ||
            qg_report_change_take(report, path, qg_value_text("as before", err),
                                  qg_value_text("regenerated", err), err) < 0)
            return -1;
    }
    return 0;
}

static int note_file(const struct hide *hide, struct qg_report *report, struct qg_err *err) {
    const char *const path[] = {QG_GRUB_FILE, QG_HIDE_PCI, NULL};
    QG_AUTO_STR char *old =
        qg_grub_get(qg_buf_text(&hide->old), hide->old.length, QG_GRUB_CMDLINE, NULL, err);
    QG_AUTO_STR char *new = qg_grub_get(hide->new, strlen(hide->new), QG_GRUB_CMDLINE, NULL, err);
    if (!old || !new)
        return -1;
    return qg_report_change_take(report, path,
                                 qg_cmdline_items(old, QG_HIDE_PCI, QG_CMDLINE_LAST, err),
                                 qg_cmdline_items(new, QG_HIDE_PCI, QG_CMDLINE_LAST, err), err);
}

/* The file first, then the menus from it. A menu that cannot be written leaves the file: the next
 * run finds the menu stale and tries again. */
static int write_all(struct hide *hide, struct qg_report *report, struct qg_err *err) {
    QG_AUTO_STR char *program = find_mkconfig(qg_run_host(hide->run), err);
    if (!program || hide->menus == 0)
        return qg_err_set(err, QG_ERR_INVALID,
                          program ? "neither %s nor %s lists a kernel: how dom0 boots is not known"
                                  : "no grub2-mkconfig here (%s, %s): nothing was changed",
                          grub_configs[0], grub_configs[1]);
    if (is_changed(hide) && (qg_host_write(qg_run_host(hide->run), QG_GRUB_FILE, hide->new,
                                           strlen(hide->new), GRUB_MODE, grub_backup, err) < 0 ||
                             note_file(hide, report, err) < 0))
        return -1;
    return write_menus(hide, program, report, err);
}

/* What write_all would do. */
static int predict(struct hide *hide, struct qg_report *report, struct qg_err *err) {
    if (is_changed(hide) && note_file(hide, report, err) < 0)
        return -1;
    if (hide->menus == 0 && qg_report_warn(report, err, "Neither %s nor %s lists a kernel.",
                                           grub_configs[0], grub_configs[1]) < 0)
        return -1;
    struct qg_err unknown = {0};
    QG_AUTO_STR char *program = find_mkconfig(qg_run_host(hide->run), &unknown);
    if (!program &&
        (qg_err_pass_oom(err, &unknown) < 0 ||
         qg_report_warn(report, err, "No grub2-mkconfig here: it could not be done.") < 0))
        return -1;
    for (size_t i = 0; i < hide->stale_count; i++) {
        const char *const path[] = {hide->stale[i], NULL};
        if (qg_report_change_take(report, path, qg_value_text("as before", err),
                                  qg_value_text("regenerated", err), err) < 0)
            return -1;
    }
    return 0;
}

static int say(const struct hide *hide, struct qg_report *report, struct qg_err *err) {
    QG_AUTO_STR char *card = qg_card_describe(hide->card, err);
    if (!card)
        return -1;
    bool done = !is_changed(hide) && hide->stale_count == 0;
    const char *verb = hide->hide ? "hidden from dom0" : "shown to dom0";
    if (qg_report_say(report, err, "%s %s %s at each boot.", card,
                      done           ? "is"
                      : report->test ? "would be"
                                     : "is now",
                      verb) < 0)
        return -1;
    return hide->in_effect ? 0 : qg_report_say(report, err, "Not yet in effect: reboot dom0.");
}

static int hide_or_show(struct hide *hide, struct qg_report *report, struct qg_err *err) {
    if (look(hide, err) < 0)
        return -1;
    bool nothing = !is_changed(hide) && hide->stale_count == 0;
    if (nothing)
        return say(hide, report, err);
    if ((report->test ? predict(hide, report, err) : write_all(hide, report, err)) < 0)
        return -1;
    return say(hide, report, err);
}

static int run_state(struct qg_run *run, const json_t *args, bool is_hide, struct qg_report *report,
                     struct qg_err *err) {
    static const char *const keys[] = {"name", "devices", "force", NULL};
    QG_AUTO(survey) struct qg_survey survey = {0};
    QG_AUTO(hide) struct hide hide = {.run = run, .hide = is_hide};
    qg_run_begin(run);
    if (qg_args_check(args, is_hide ? "hidden" : "shown", keys, err) < 0 ||
        qg_survey_take(run, &survey, NULL, err) < 0)
        return -1;
    QG_AUTO(json) json_t *wanted = qg_value_copy(args, err);
    if (!wanted)
        return qg_err_oom(err);
    if (!is_hide && qg_value_set_take(wanted, "force", json_true(), err) < 0)
        return -1; /* nothing freezes where dom0 gets a card back */
    hide.card = qg_survey_pick(&survey, wanted, false, err);
    if (!hide.card)
        return -1;
    if (!qg_survey_is_local(hide.card))
        return qg_err_set(err, QG_ERR_INVALID,
                          "%s is not in this computer's sysfs: dom0's own minion has to run this "
                          "state",
                          qg_value_get_text(hide.card, "port"));
    return hide_or_show(&hide, report, err);
}

int qg_gpu_hidden(struct qg_run *run, const json_t *args, struct qg_report *report,
                  struct qg_err *err) {
    return run_state(run, args, true, report, err);
}

int qg_gpu_shown(struct qg_run *run, const json_t *args, struct qg_report *report,
                 struct qg_err *err) {
    return run_state(run, args, false, report, err);
}
