/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/packages.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUERY_MS = 60 * 1000 };

static const char dpkg_status[] = "/var/lib/dpkg/status";

static int append(json_t *list, const char *name, struct qg_err *err) {
    return qg_value_append_take(list, qg_value_text(name, err), err);
}

static int append_all(json_t *list, const char *const *names, struct qg_err *err) {
    for (; *names; names++) {
        if (append(list, *names, err) < 0)
            return -1;
    }
    return 0;
}

static int default_fedora(const struct qg_driver_want *want, json_t *list, struct qg_err *err) {
    static const char *const driver[] = {"akmod-nvidia", "xorg-x11-drv-nvidia-cuda", NULL};
    return append_all(list, driver, err) < 0 ||
                   (want->cuda && append(list, "xorg-x11-drv-nvidia-cuda-libs", err) < 0)
               ? -1
               : 0;
}

/* The open module is the only one that Blackwell cards take, and on neither release does it build
 * or resolve today: the proprietary one unless somebody asks. */
static int default_debian(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                          json_t *list, struct qg_err *err) {
    static const char *const driver[] = {"linux-headers-amd64", "firmware-misc-nonfree",
                                         "nvidia-driver", NULL};
    if (append_all(list, driver, err) < 0 ||
        append(list,
               want->flavor == QG_FLAVOR_OPEN ? "nvidia-open-kernel-dkms" : "nvidia-kernel-dkms",
               err) < 0 ||
        (want->cuda && append(list, "nvidia-cuda-toolkit", err) < 0))
        return -1;
    /* The metapackage follows the archive, not the kernel that boots here. */
    char image[160], headers[160];
    snprintf(image, sizeof(image), "linux-image-%s", facts->kernel);
    snprintf(headers, sizeof(headers), "linux-headers-%s", facts->kernel);
    return json_object_get(facts->installed, image) ? append(list, headers, err) : 0;
}

json_t *qg_driver_packages(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                           struct qg_err *err) {
    QG_AUTO(json) json_t *list = qg_value_array(err);
    if (!list)
        return NULL;
    if (want->packages) {
        if (json_array_extend(list, want->packages) < 0) {
            qg_err_oom(err);
            return NULL;
        }
    } else if (facts->release.family == QG_FAMILY_FEDORA) {
        if (default_fedora(want, list, err) < 0)
            return NULL;
    } else if (default_debian(want, facts, list, err) < 0) {
        return NULL;
    }
    if (want->persistence == QG_SERVICE_ON && append(list, "nvidia-persistenced", err) < 0)
        return NULL;
    return QG_STEAL(list);
}

static const char *const proof_paths[] = {
    "/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite-wal",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
    "/var/lib/rpm/Packages"};

json_t *qg_driver_proof_files(struct qg_host *host, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    for (size_t i = 0; out && i < QG_ARRAY_LEN(proof_paths); i++) {
        int64_t time = qg_host_mtime(host, proof_paths[i]);
        if (time >= 0 && qg_value_set_take(out, proof_paths[i], qg_value_int(time, err), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

/* Takes the record's word for what is installed, if rpm's database is untouched since. */
static bool use_proof(struct qg_host *host, const json_t *wanted, struct qg_driver_facts *facts) {
    const json_t *proof = json_object_get(facts->record, "proof");
    const json_t *files = json_object_get(proof, "files");
    json_t *installed = json_object_get(proof, "installed");
    struct qg_err ignored = {0};
    QG_AUTO(json) json_t *now = qg_driver_proof_files(host, &ignored);
    if (!now || !json_object_size(now) || !json_equal(now, files))
        return false;
    size_t index;
    json_t *name;
    json_array_foreach(wanted, index, name) {
        if (!qg_parse_find_package(installed, json_string_value(name)))
            return false;
    }
    return json_object_update(facts->installed, installed) == 0;
}

/* Runs rpm with these arguments; *known false where it cannot run, or says less than a line for
 * each of the names. */
static int ask_rpm(struct qg_host *host, const char *const *argv, size_t names, json_t *installed,
                   bool *known, struct qg_err *err) {
    struct qg_host_command command = {.argv = argv, .unprivileged = true};
    struct qg_deadline deadline = qg_deadline_in(QUERY_MS);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    struct qg_err problem = {0};
    *known = false;
    if (qg_host_run(host, &command, &deadline, &result, &problem) < 0) {
        if (!result.started && problem.kind == QG_ERR_IO)
            return 0;
        return qg_err_set(err, problem.kind, "rpm -q: %s", problem.text);
    }
    /* Its exit code only counts what is not installed. */
    const char *said = qg_buf_text(&result.out);
    size_t lines = 0;
    for (const char *at = said; (at = strchr(at, '\n')); at++)
        lines++;
    *known = lines >= names && !strstr(said, "error: ");
    return qg_parse_rpm_list(said, installed, err);
}

const char qg_rpm_format[] = "%{NAME}.%{ARCH} %{VERSION}-%{RELEASE}\\n";

static int read_rpm(struct qg_host *host, const json_t *wanted, struct qg_driver_facts *facts,
                    struct qg_err *err) {
    QG_AUTO_STR char *built = qg_text_format("kmod-nvidia-%s", facts->kernel);
    const char **argv = calloc(json_array_size(wanted) + 8, sizeof(*argv));
    if (!built || !argv) {
        free(argv);
        return qg_err_oom(err);
    }
    size_t count = 0;
    const char *const fixed[] = {"rpm", "-q", "--qf", qg_rpm_format, "grubby-dummy", built};
    for (; count < QG_ARRAY_LEN(fixed); count++)
        argv[count] = fixed[count];
    size_t index;
    json_t *name;
    json_array_foreach(wanted, index, name) {
        argv[count++] = json_string_value(name);
    }
    int status = ask_rpm(host, argv, json_array_size(wanted) + 2, facts->installed,
                         &facts->packages_known, err);
    free(argv);
    return status;
}

static int read_dpkg(struct qg_host *host, json_t *installed, json_t *broken, json_t *held,
                     bool *known, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf text = {0};
    if (qg_host_read(host, dpkg_status, &text, known, err) < 0)
        return -1;
    return qg_parse_dpkg_status(qg_buf_text(&text), installed, broken, held, err);
}

int qg_packages_read(struct qg_host *host, const struct qg_driver_want *want,
                     struct qg_driver_facts *facts, struct qg_err *err) {
    if (facts->release.family == QG_FAMILY_DEBIAN)
        return read_dpkg(host, facts->installed, facts->broken, facts->held, &facts->packages_known,
                         err);
    if (facts->release.family != QG_FAMILY_FEDORA)
        return 0;
    QG_AUTO(json) json_t *wanted = qg_driver_packages(want, facts, err);
    if (!wanted)
        return -1;
    facts->packages_known = use_proof(host, wanted, facts);
    return facts->packages_known ? 0 : read_rpm(host, wanted, facts, err);
}

/* A list of lines that a program says, taken in whole. */
struct all_lines {
    struct qg_buf text;
    struct qg_err err;
};

static void collect_line(void *data, const char *line) {
    struct all_lines *lines = data;
    if (!lines->err.kind)
        (void)qg_buf_printf(&lines->text, &lines->err, "%s\n", line);
}

/* The list is longer than a result keeps: line by line. */
static json_t *all_rpm(struct qg_host *host, bool *known, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    const char *argv[] = {"rpm", "-qa", "--qf", qg_rpm_format, NULL};
    struct all_lines lines = {0};
    struct qg_host_command command = {
        .argv = argv, .unprivileged = true, .on_line = collect_line, .data = &lines};
    struct qg_deadline deadline = qg_deadline_in(QUERY_MS);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    struct qg_err problem = {0};
    int status = qg_host_run(host, &command, &deadline, &result, &problem);
    *known = status == 0 && !lines.err.kind && result.exit_code == 0;
    if (*known)
        status = qg_parse_rpm_list(qg_buf_text(&lines.text), out, err);
    qg_buf_fini(&lines.text);
    return *known && status < 0 ? NULL : QG_STEAL(out);
}

json_t *qg_packages_all(struct qg_host *host, enum qg_family family, bool *known,
                        struct qg_err *err) {
    if (family == QG_FAMILY_FEDORA)
        return all_rpm(host, known, err);
    QG_AUTO(json) json_t *out = qg_value_object(err);
    QG_AUTO(json) json_t *broken = qg_value_object(err);
    if (!out || !broken || read_dpkg(host, out, broken, NULL, known, err) < 0)
        return NULL;
    if (json_object_update(out, broken) < 0) {
        qg_err_oom(err);
        return NULL;
    }
    return QG_STEAL(out);
}
