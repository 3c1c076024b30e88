/*
 * Random bytes as a configuration file: it is read, or refused with a sentence that names the file.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/options.h"
#include "server/node/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zs_options options;
	char why[ZS_OPTION_WHY_MAX] = "";
	char *text = malloc(size + 1);

	if (!text || zs_options_init(&options, zs_settings, ZS_SET_COUNT))
		abort();
	memcpy(text, data, size);
	text[size] = 0;
	if (zs_options_read_string(&options, text, "fuzz", why, sizeof(why)) && strncmp(why, "fuzz:", 5) != 0)
		abort();
	zs_settings_check(&options, why, sizeof(why));
	zs_options_free(&options);
	free(text);
	return 0;
}
