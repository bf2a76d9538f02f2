// SPDX-License-Identifier: Apache-2.0
// Nonsense with the statistics of documents: what it says does not matter to a recognizer of single lines.
#include "text.h"

#include <iconv.h>
#include <stdio.h>
#include <string.h>

// The first level of GB 2312 holds the common characters: rows 0xB0 to 0xD7, the last one not full.
#define MOST_CHINESE (40 * 94)
static uint32_t chinese[MOST_CHINESE];
static uint32_t n_chinese;

// Frequent ones, of which most of a text is made.
static const char FREQUENT[] = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发"
                               "年动同工也能下过子说产种面而方后多定行学法所民得"
                               "经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本"
                               "去把性好应开它合还因由其些然前外天政四日那社义"
                               "事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条"
                               "只没结解问意建月公无系军很情者最立代想已通并提"
                               "直题党程展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山"
                               "统接知较将组见计别她手角期根论运农指";
static uint32_t frequent[sizeof(FREQUENT)];
static uint32_t n_frequent;

static const char *const SYLLABLES[] = {"an", "ber", "con", "der", "en", "for", "ger", "hal", "in", "jo",
    "ka", "lin", "mar", "nor", "on", "per", "qua", "re", "sta", "ti", "un", "ver", "wes", "xi", "yor", "ze",
    "tra", "ma", "so", "da", "pro", "le"};
#define N_SYLLABLES (sizeof(SYLLABLES) / sizeof(*SYLLABLES))

// Unicode of `bytes` in some encoding; the number of characters, 0 on failure.
static uint32_t convert(const char *encoding, const char *bytes, size_t size, uint32_t *to, size_t room) {
    iconv_t converter = iconv_open("UTF-32LE", encoding);
    if (converter == (iconv_t)-1) return 0;
    char *in = (char *)(uintptr_t)bytes, *out = (char *)to; // iconv does not write to its input
    size_t left = room * sizeof(*to);
    size_t failed = iconv(converter, &in, &size, &out, &left);
    iconv_close(converter);
    return failed == (size_t)-1 ? 0 : (uint32_t)(room - left / sizeof(*to));
}

bool text_setup(void) {
    char bytes[2 * MOST_CHINESE];
    size_t size = 0;
    for (int row = 0xB0; row <= 0xD7; row++)
        for (int cell = 0xA1; cell <= (row == 0xD7 ? 0xF9 : 0xFE); cell++) {
            bytes[size++] = (char)row;
            bytes[size++] = (char)cell;
        }
    n_chinese = convert("GB2312", bytes, size, chinese, MOST_CHINESE);
    n_frequent = convert("UTF-8", FREQUENT, sizeof(FREQUENT) - 1, frequent, sizeof(FREQUENT));
    return n_chinese > 0 && n_frequent > 0;
}

static void append(text *t, uint32_t character) {
    if (t->count < TEXT_MOST) t->characters[t->count++] = character;
}

static void append_ascii(text *t, const char *word) {
    for (; *word; word++) append(t, (uint32_t)(unsigned char)*word);
}

static void append_chinese(ocr_random *random, text *t, uint32_t count) {
    t->chinese = true;
    for (uint32_t i = 0; i < count; i++) {
        if (random_chance(random, 0.3))
            append(t, chinese[random_below(random, n_chinese)]);
        else
            append(t, frequent[random_below(random, n_frequent)]);
    }
}

// Lower case, capitalized or upper case.
static void append_word(ocr_random *random, text *t) {
    size_t first = t->count;
    uint32_t syllables = 1 + random_below(random, 3);
    for (uint32_t i = 0; i < syllables; i++) append_ascii(t, SYLLABLES[random_below(random, N_SYLLABLES)]);
    double form = random_between(random, 0, 1);
    size_t upper = form < 0.5 ? first : form < 0.85 ? first + 1 : t->count;
    for (size_t i = first; i < upper && i < t->count; i++) t->characters[i] -= 'a' - 'A';
}

static void append_words(ocr_random *random, text *t) {
    append_word(random, t);
    while (t->count < 12 && random_chance(random, 0.6)) {
        append(t, ' ');
        append_word(random, t);
    }
}

// 1 to `digits` digits.
static uint32_t random_number(ocr_random *random, uint32_t digits) {
    static const uint32_t powers[] = {10, 100, 1000, 10000, 100000, 1000000, 10000000};
    return random_below(random, powers[random_below(random, digits)]);
}

static void append_number(ocr_random *random, text *t) {
    char number[40];
    uint32_t day = 1 + random_below(random, 28), month = 1 + random_below(random, 12);
    uint32_t year = 1950 + random_below(random, 80), amount = 10 + random_number(random, 7);
    switch (random_below(random, 6)) {
    case 0:
        snprintf(number, sizeof(number), "%u", amount);
        break;
    case 1:
        snprintf(number, sizeof(number), "%u.%02u", amount, random_below(random, 100));
        break;
    case 2:
        snprintf(number, sizeof(number), "%u-%02u-%02u", year, month, day);
        break;
    case 3:
        snprintf(number, sizeof(number), "%02u/%02u/%u", day, month, year);
        break;
    case 4:
        snprintf(number, sizeof(number), "%02u:%02u:%02u", random_below(random, 24), random_below(random, 60),
            random_below(random, 60));
        break;
    default:
        snprintf(number, sizeof(number), "%u-%u-%u", 100 + random_below(random, 900),
            1000 + random_below(random, 9000), 1000 + random_below(random, 9000));
    }
    append_ascii(t, number);
}

static void append_mixture(ocr_random *random, text *t) {
    char number[16];
    append_chinese(random, t, 2 + random_below(random, 2));
    snprintf(number, sizeof(number), "%u", random_number(random, 4));
    append_ascii(t, number);
    if (random_chance(random, 0.5)) append_word(random, t);
}

void text_make(ocr_random *random, text *t) {
    t->count = 0;
    t->chinese = false;
    double kind = random_between(random, 0, 1);
    if (kind < 0.45)
        append_chinese(random, t, 3 + random_below(random, 5));
    else if (kind < 0.7)
        append_words(random, t);
    else if (kind < 0.85)
        append_number(random, t);
    else
        append_mixture(random, t);
}

void text_to_utf8(const text *t, char *bytes) {
    for (size_t i = 0; i < t->count; i++) {
        uint32_t c = t->characters[i];
        if (c < 0x80) {
            *bytes++ = (char)c;
        } else if (c < 0x800) {
            *bytes++ = (char)(0xC0 | c >> 6);
            *bytes++ = (char)(0x80 | (c & 0x3F));
        } else { // nothing here lies beyond the first plane
            *bytes++ = (char)(0xE0 | c >> 12);
            *bytes++ = (char)(0x80 | (c >> 6 & 0x3F));
            *bytes++ = (char)(0x80 | (c & 0x3F));
        }
    }
    *bytes = 0;
}
