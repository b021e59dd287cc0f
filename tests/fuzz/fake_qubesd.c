/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fake_qubesd.h"

#include "net/call.h"

#include <time.h>

enum { TICK_MS = 100, EVENTS_MAX = 8 };

/* What one run of the fuzzer sees. */
static struct {
    struct input answers;
    bool dry; /* nothing may be written */
    int64_t now;
    int events;
} fake;

void fake_begin(struct input answers, bool dry) {
    fake.answers = answers;
    fake.dry = dry;
    fake.now = 0;
}

/* ---- base/clock.h ---- */

int nanosleep(const struct timespec *wanted, struct timespec *left) {
    (void)wanted;
    (void)left;
    return 0;
}

int64_t qg_clock_ms(void) {
    return fake.now += TICK_MS;
}

struct qg_deadline qg_deadline_in(int64_t ms) {
    return (struct qg_deadline){.at_ms = qg_clock_ms() + ms};
}

int qg_deadline_left(const struct qg_deadline *deadline) {
    int64_t left = deadline->at_ms - qg_clock_ms();
    return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

bool qg_deadline_interrupted(const struct qg_deadline *deadline) {
    (void)deadline;
    return false;
}

/* ---- net/call.h ---- */

/* What the small qubesd says; the first prefix that fits counts. */
static const char *const sayings[][2] = {
    {"admin.vm.List", "dom0 class=AdminVM state=Running uuid=0\n"
                      "work class=AppVM state=Halted uuid=1\n"
                      "fedora class=TemplateVM state=Halted uuid=2\n"},
    {"admin.vm.property.GetAll",
     "autostart default=True type=bool False\nkernel default=True type=str 6.6\n"
     "klass default=False type=str AppVM\nlabel default=False type=label red\n"
     "maxmem default=True type=int 4000\nmemory default=False type=int 400\n"
     "name default=False type=str work\nnetvm default=True type=vm sys-net\n"
     "template default=False type=vm fedora\nuuid default=False type=str 1\n"
     "virt_mode default=True type=str pvh\n"},
    {"admin.vm.feature.List", "gui\nservice.cups\n"},
    {"admin.vm.feature.Get", "1"},
    {"admin.vm.tag.List", "created-by-dom0\n"},
    {"admin.vm.firewall.Get", "action=accept\n"},
    {"admin.vm.volume.List", "root\nprivate\n"},
    {"admin.vm.volume.Info", "pool=vm-pool\nsize=1000000\nrw=True\n"},
    {"admin.vm.volume.CloneFrom", "token"},
    {"admin.vm.device.pci.Available",
     "dom0+00_01.0-00_00.0:0x10de:0x2504::p030000 device_id='0x10de:0x2504::p030000' "
     "port_id='00_01.0-00_00.0' devclass='pci' backend_domain='dom0' _sbdf='0000:01:00.0' "
     "interfaces='p030000' vendor='NVIDIA Corporation' product='GA106'\n"
     "dom0+00_02.0:0x8086:0x4680::p030000 device_id='0x8086:0x4680::p030000' port_id='00_02.0' "
     "devclass='pci' backend_domain='dom0' _sbdf='0000:00:02.0' interfaces='p030000'\n"},
    {"admin.vm.device.pci.Assigned",
     "dom0+00_01.0-00_00.0:0x10de:0x2504::p030000 device_id='0x10de:0x2504::p030000' "
     "port_id='00_01.0-00_00.0' devclass='pci' backend_domain='dom0' mode='required' "
     "frontend_domain='work'\n"},
    {"admin.label.List", "red\ngreen\n"},
    {"admin.pool.Info", "size=1000000\nusage=1000\n"},
    {"", ""},
};

static const char *saying(const char *method) {
    size_t i = 0;
    while (strncmp(method, sayings[i][0], strlen(sayings[i][0])) != 0)
        i++;
    return sayings[i][1];
}

static void add(struct qg_buf *out, const char *bytes, size_t length) {
    MUST(qg_buf_add(out, bytes, length, NULL) == 0);
}

/* The reply's bytes. */
static void answer(const struct qg_request *request, struct qg_buf *out) {
    bool scripted = fake.answers.left > 0;
    QG_AUTO_STR char *script = scripted ? take_text(&fake.answers) : NULL;
    if (script && script[0] == '~')
        return;
    if (script && script[0] == '!') {
        add(out, "2", 2);
        add(out, script + 1, strlen(script));
        add(out, "\0message", sizeof("\0message"));
        return;
    }
    bool own = !script || script[0] == '=';
    const char *data = own ? saying(request->method) : script;
    add(out, "0", 2);
    add(out, data, strlen(data));
}

static void run_call(struct qg_call *call) {
    const struct qg_request *request = &call->request;
    if (qg_request_check(request, &call->err) == 0) {
        MUST(!fake.dry || !qg_request_writes(request->method));
        answer(request, &call->reply);
        qg_reply_parse(qg_buf_text(&call->reply), call->reply.length, &call->data,
                       &call->data_length, &call->err);
    }
    qg_err_at(&call->err, "%s on %s", request->method, request->dest);
    if (call->landed)
        call->landed(call, call->owner);
}

int qg_calls_run(const struct qg_transport *transport, struct qg_call *calls, size_t count,
                 const struct qg_deadline *deadline, struct qg_err *err) {
    (void)transport;
    (void)deadline;
    (void)err;
    for (size_t i = 0; i < count; i++)
        run_call(&calls[i]);
    return 0;
}

void qg_call_fini(struct qg_call *call) {
    qg_buf_fini(&call->reply);
}

int qg_stream_open(struct qg_stream *stream, const struct qg_transport *transport, const char *dest,
                   const struct qg_deadline *deadline, struct qg_err *err) {
    (void)transport;
    (void)deadline;
    *stream = (struct qg_stream){.connection = QG_CONNECTION_CLOSED};
    fake.events = 0;
    return qg_buf_printf(&stream->in, err, "1%c%s%cdomain-shutdown%c%c", 0, dest, 0, 0, 0);
}

int qg_stream_next(struct qg_stream *stream, struct qg_event *event,
                   const struct qg_deadline *deadline, struct qg_err *err) {
    (void)deadline;
    if (fake.events++ == EVENTS_MAX)
        return qg_err_set(err, QG_ERR_TIMEOUT, "no event from qubesd in time");
    if (fake.answers.left == 0)
        return qg_reply_event(stream->in.data, stream->in.length, event, &stream->used, err);
    QG_AUTO_STR char *script = take_text(&fake.answers);
    if (script[0] == '~')
        return qg_err_set(err, QG_ERR_EOF, "qubesd ended its events");
    event->subject = "work";
    event->name = "domain-start";
    return 0;
}

void qg_stream_close(struct qg_stream *stream) {
    qg_buf_fini(&stream->in);
}
