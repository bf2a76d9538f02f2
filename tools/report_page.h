// SPDX-License-Identifier: Apache-2.0
// The pieces of an HTML page: what comes from files is escaped here and nowhere else.
#ifndef TOOLS_REPORT_PAGE_H
#define TOOLS_REPORT_PAGE_H

#include <stdio.h>

#include <cjson/cJSON.h>

void page_begin(FILE *page, const char *title);
void page_end(FILE *page);
void page_text(FILE *page, const char *text); // escaped
void page_heading(FILE *page, const char *heading, const char *file);

// Headings of columns, with '|' between.
void table_begin(FILE *page, const char *columns);
void table_row(FILE *page);
void table_end(FILE *page);
void cell_text(FILE *page, const char *text);
void cell_number(FILE *page, double number, const char *format); // NaN: an empty cell
// A number with its part of the largest as a bar behind it.
void cell_bar(FILE *page, double number, double largest, const char *format);

// Of a JSON object: NaN or "" where there is no such number or string.
double number_of(const cJSON *object, const char *key);
const char *text_of(const cJSON *object, const char *key);

#endif
