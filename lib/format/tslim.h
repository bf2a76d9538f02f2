// SPDX-License-Identifier: Apache-2.0
// .tslim files: docs/file-format.md.
#ifndef TSL_FORMAT_TSLIM_H
#define TSL_FORMAT_TSLIM_H

#include "ir/graph.h"

// True when the bytes begin as a .tslim file does.
bool tsl_tslim_recognize(const tsl_buffer *buffer);

// Reads a graph; weights lie in `buffer`, which the graph keeps. Checks every checksum and the structure.
tslim_status tsl_tslim_read(tslim_context *ctx, tsl_buffer *buffer, tslim_graph **graph);

tslim_status tsl_tslim_write(const tslim_graph *graph, const char *path);

#endif
