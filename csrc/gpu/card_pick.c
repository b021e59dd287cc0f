/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which card somebody means. */
#include "gpu/card.h"

#include "base/buf.h"
#include "base/text.h"
#include "qubes/device.h"

#include <string.h>
#include <strings.h>

static const char nvidia[] = "10de";

static bool is_text(const json_t *object, const char *key, const char *wanted) {
    const char *text = qg_value_get_text(object, key);
    return text && strcasecmp(text, wanted) == 0;
}

static bool is_known_display(const json_t *card) {
    return json_is_true(json_object_get(card, "display"));
}

/* Part of the processor or chipset: on the first bus, where no slot for a card is. */
static bool is_integrated(const json_t *card) {
    const char *bdf = qg_value_get_text(card, "bdf");
    return bdf && qg_text_starts(bdf, "0000:00:");
}

/* True where the wanted text is an address, port or identity of one of the card's functions. */
static bool names_function(const json_t *card, const char *wanted) {
    struct qg_device_ref ref;
    bool is_ref = qg_device_ref_parse(wanted, &ref, NULL) == 0;
    size_t i;
    json_t *function;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        bool here =
            is_ref && (is_text(function, "bdf", ref.bdf) || is_text(function, "port", ref.port) ||
                       (!ref.bdf[0] && !ref.port[0]));
        if ((here && (!ref.identity[0] || is_text(function, "identity", ref.identity))) ||
            is_text(function, "identity", wanted))
            return true;
    }
    return false;
}

/* `10de:2504`, `10de`, with or without 0x. */
static bool names_model(const json_t *card, const char *wanted) {
    const char *colon = strchr(wanted, ':');
    char vendor[8];
    size_t length = colon ? (size_t)(colon - wanted) : strlen(wanted);
    if (length >= sizeof(vendor) || length < 4)
        return false;
    memcpy(vendor, wanted, length);
    vendor[length] = '\0';
    const char *product = colon ? colon + 1 : NULL;
    const char *plain = strncasecmp(vendor, "0x", 2) == 0 ? vendor + 2 : vendor;
    if (product && strncasecmp(product, "0x", 2) == 0)
        product += 2;
    return is_text(card, "vendor_id", plain) && (!product || is_text(card, "product_id", product));
}

/* True where each word of wanted stands in the vendor's or product's name. */
static bool names_words(const json_t *card, const char *wanted) {
    const char *vendor = qg_value_get_text(card, "vendor");
    const char *product = qg_value_get_text(card, "product");
    bool any = false;
    while (*(wanted += strspn(wanted, " "))) {
        size_t length = strcspn(wanted, " ");
        char word[64];
        if (length >= sizeof(word))
            return false;
        memcpy(word, wanted, length);
        word[length] = '\0';
        if (!(vendor && strcasestr(vendor, word)) && !(product && strcasestr(product, word)))
            return false;
        any = true;
        wanted += length;
    }
    return any;
}

static bool is_meant(const json_t *card, const char *wanted) {
    return names_function(card, wanted) || names_model(card, wanted) || names_words(card, wanted);
}

/* What to do with the cards that fit. */
struct choice {
    const json_t *cards; /* all there are */
    json_t *fit;         /* those that fit, the display too */
    json_t *free;        /* and are not the display */
};

static void choice_fini(struct choice *choice) {
    json_decref(choice->fit);
    json_decref(choice->free);
}

QG_DEFINE_AUTO_FINI(choice, struct choice, choice_fini)

/* A line for each card. */
static char *listed(const json_t *cards, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf out = {0};
    size_t i;
    json_t *card;
    json_array_foreach(qg_value_mutable(cards), i, card) {
        QG_AUTO_STR char *text = qg_card_describe(card, err);
        if (!text || qg_buf_printf(&out, err, "%s%s%s", i ? "; " : "", text,
                                   is_known_display(card) ? ", dom0's display" : "") < 0)
            return NULL;
    }
    return qg_buf_steal(&out, err);
}

/* `device 'WANTED': WHY: CARDS`. Returns NULL. */
static const json_t *refuse(const json_t *cards, const char *wanted, const char *why,
                            struct qg_err *err) {
    QG_AUTO_STR char *list = listed(cards, err);
    if (list)
        qg_err_set(err, QG_ERR_INVALID, "device '%.100s': %s: %s", wanted, why,
                   *list ? list : "no graphics card at all");
    return NULL;
}

/* True where some card must be dom0's display although nobody says so: the processor's own graphics
 * beside this card. */
static bool display_is_elsewhere(const json_t *cards, const json_t *card) {
    size_t i;
    json_t *other;
    json_array_foreach(qg_value_mutable(cards), i, other) {
        if (other != card && is_integrated(other) && !is_integrated(card))
            return true;
    }
    return false;
}

/* May be taken without anybody having named it. */
static bool is_surely_free(const json_t *cards, const json_t *card) {
    const json_t *display = json_object_get(card, "display");
    return json_is_false(display) || (json_is_null(display) && display_is_elsewhere(cards, card));
}

static int add(json_t *list, const json_t *card, struct qg_err *err) {
    return qg_value_append_take(list, json_incref(qg_value_mutable(card)), err);
}

/* The cards that auto looks at: NVIDIA's, else all that are not part of the processor. */
static int fit_auto(struct choice *choice, struct qg_err *err) {
    size_t i;
    json_t *card;
    bool any_nvidia = false;
    json_array_foreach(qg_value_mutable(choice->cards), i, card) {
        any_nvidia =
            any_nvidia || is_text(card, "vendor_id", nvidia) || names_words(card, "nvidia");
    }
    json_array_foreach(qg_value_mutable(choice->cards), i, card) {
        bool ours = is_text(card, "vendor_id", nvidia) || names_words(card, "nvidia");
        if ((any_nvidia ? ours : !is_integrated(card)) && add(choice->fit, card, err) < 0)
            return -1;
    }
    return 0;
}

static int fit_words(struct choice *choice, const char *wanted, struct qg_err *err) {
    size_t i;
    json_t *card;
    json_array_foreach(qg_value_mutable(choice->cards), i, card) {
        if (is_meant(card, wanted) && add(choice->fit, card, err) < 0)
            return -1;
    }
    return 0;
}

static int keep_free(struct choice *choice, bool is_auto, struct qg_err *err) {
    size_t i;
    json_t *card;
    json_array_foreach(choice->fit, i, card) {
        bool taken = is_auto ? !is_surely_free(choice->cards, card) : is_known_display(card);
        if (!taken && add(choice->free, card, err) < 0)
            return -1;
    }
    return 0;
}

/* Nothing that may be taken is left: why. */
static const json_t *refuse_none(const struct choice *choice, const char *wanted,
                                 struct qg_err *err) {
    if (json_array_size(choice->fit) == 0)
        return refuse(choice->cards, wanted, "no graphics card fits; dom0 has", err);
    size_t i;
    json_t *card;
    json_array_foreach(choice->fit, i, card) {
        if (!is_known_display(card))
            return refuse(choice->fit, wanted,
                          "nothing tells whether the card is dom0's display, give its address if "
                          "it is not",
                          err);
    }
    return refuse(choice->fit, wanted,
                  "the card is dom0's display, which would freeze (only force takes it)", err);
}

const json_t *qg_cards_pick(const json_t *cards, const char *wanted, bool force,
                            struct qg_err *err) {
    QG_AUTO(choice) struct choice choice = {.cards = cards};
    choice.fit = qg_value_array(err);
    choice.free = qg_value_array(err);
    bool is_auto = strcmp(wanted, QG_CARD_AUTO) == 0;
    if (!choice.fit || !choice.free ||
        (is_auto ? fit_auto(&choice, err) : fit_words(&choice, wanted, err)) < 0 ||
        keep_free(&choice, is_auto, err) < 0)
        return NULL;
    const json_t *left = force && json_array_size(choice.free) == 0 ? choice.fit : choice.free;
    if (json_array_size(left) == 0)
        return refuse_none(&choice, wanted, err);
    if (json_array_size(left) > 1)
        return refuse(left, wanted, "several cards fit, name one by its address", err);
    return json_array_get(left, 0); /* cards has it too: it outlives choice */
}
