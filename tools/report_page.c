// SPDX-License-Identifier: Apache-2.0
#include "report_page.h"

#include <math.h>

static const char STYLE[] =
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}"
    "h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em}h2 small{color:#777;font-weight:normal}"
    "table{border-collapse:collapse}th,td{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:left}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "td.fail{color:#b00020;font-weight:bold}svg{max-width:100%;height:auto}";

void page_text(FILE *page, const char *text) {
    for (; *text; ++text) {
        switch (*text) {
        case '<':
            fputs("&lt;", page);
            break;
        case '>':
            fputs("&gt;", page);
            break;
        case '&':
            fputs("&amp;", page);
            break;
        case '"':
            fputs("&quot;", page);
            break;
        default:
            fputc((unsigned char)*text < 0x20 ? ' ' : *text, page);
        }
    }
}

void page_begin(FILE *page, const char *title) {
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>", page);
    page_text(page, title);
    fprintf(page, "</title><style>%s</style></head><body>\n<h1>", STYLE);
    page_text(page, title);
    fputs("</h1>\n", page);
}

void page_end(FILE *page) {
    fputs("</body></html>\n", page);
}

void page_heading(FILE *page, const char *heading, const char *file) {
    fputs("<h2>", page);
    page_text(page, heading);
    if (file) {
        fputs(" <small>", page);
        page_text(page, file);
        fputs("</small>", page);
    }
    fputs("</h2>\n", page);
}

void table_begin(FILE *page, const char *columns) {
    fputs("<table><tr><th>", page);
    for (; *columns; ++columns) {
        if (*columns == '|')
            fputs("</th><th>", page);
        else
            fputc(*columns, page);
    }
    fputs("</th>", page);
}

void table_row(FILE *page) {
    fputs("</tr>\n<tr>", page);
}

void table_end(FILE *page) {
    fputs("</tr></table>\n", page);
}

void cell_text(FILE *page, const char *text) {
    fputs("<td>", page);
    page_text(page, text);
    fputs("</td>", page);
}

// Only the callers' own formats come here, each for one double.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void print_number(FILE *page, double number, const char *format) {
    if (!isnan(number)) fprintf(page, format, number);
}
#pragma GCC diagnostic pop

void cell_number(FILE *page, double number, const char *format) {
    fputs("<td class=\"n\">", page);
    print_number(page, number, format);
    fputs("</td>", page);
}

void cell_bar(FILE *page, double number, double largest, const char *format) {
    double part = number > 0 && largest > 0 ? 100 * number / largest : 0;
    if (part > 100) part = 100;
    fprintf(page,
        "<td class=\"n\" style=\"background:linear-gradient(to right,#cfe3f7 %.1f%%,transparent 0)\">", part);
    print_number(page, number, format);
    fputs("</td>", page);
}

double number_of(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
}

const char *text_of(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}
