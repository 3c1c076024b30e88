/* Figures in what a node tells about itself: lines of NAME:VALUE, as INFO has them. */
#ifndef ZS_CLIENT_COMMAND_FIGURES_H
#define ZS_CLIENT_COMMAND_FIGURES_H

#include <stddef.h>

/* 0 if there is none. */
double zs_figure(const char *text, const char *name);

/* The text of a figure, cut to `size`; empty if there is none. */
void zs_figure_text(const char *text, const char *name, char *value, size_t size);

#endif
