#include "client/command/figures.h"

#include <stdlib.h>
#include <string.h>

/* Behind the colon; NULL: there is no such line. */
static const char *find(const char *text, const char *name)
{
	size_t size = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, size) && line[size] == ':')
			return line + size + 1;
	}
	return NULL;
}

double zs_figure(const char *text, const char *name)
{
	const char *value = find(text, name);

	return value ? strtod(value, NULL) : 0;
}

void zs_figure_text(const char *text, const char *name, char *value, size_t size)
{
	const char *found = find(text, name);
	size_t length = 0;

	if (found)
		length = strcspn(found, "\r\n");
	if (length >= size)
		length = size - 1;
	if (found)
		memcpy(value, found, length);
	value[length] = 0;
}
