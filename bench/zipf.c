#include "bench/zipf.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "common/error.h"

static void fill_cumulative(struct zs_zipf *zipf, double alpha)
{
	double sum = 0;

	for (uint64_t i = 0; i < zipf->count; i++) {
		sum += pow((double)(i + 1), -alpha);
		zipf->cumulative[i] = sum;
	}
	for (uint64_t i = 0; i < zipf->count; i++)
		zipf->cumulative[i] /= sum;
	/* Every u < 1 must find a rank, whatever the rounding. */
	zipf->cumulative[zipf->count - 1] = 1;
}

static void fill_guide(struct zs_zipf *zipf)
{
	uint64_t rank = 0;

	for (uint64_t j = 0; j < zipf->count; j++) {
		while (rank + 1 < zipf->count && zipf->cumulative[rank] <= (double)j / (double)zipf->count)
			rank++;
		zipf->guide[j] = (uint32_t)rank;
	}
}

int zs_zipf_open(struct zs_zipf *zipf, uint64_t count, double alpha)
{
	assert(count >= 1 && count <= UINT32_MAX && alpha >= 0);
	zipf->count = count;
	zipf->cumulative = malloc(count * sizeof(*zipf->cumulative));
	zipf->guide = malloc(count * sizeof(*zipf->guide));
	if (!zipf->cumulative || !zipf->guide) {
		zs_zipf_close(zipf);
		return ZS_ENOMEM;
	}
	fill_cumulative(zipf, alpha);
	fill_guide(zipf);
	return ZS_OK;
}

void zs_zipf_close(struct zs_zipf *zipf)
{
	free(zipf->cumulative);
	free(zipf->guide);
	*zipf = (struct zs_zipf){ 0 };
}

uint64_t zs_zipf_rank(const struct zs_zipf *zipf, double u)
{
	uint64_t slot = (uint64_t)(u * (double)zipf->count);
	uint64_t low = zipf->guide[slot];
	uint64_t high = slot + 1 < zipf->count ? zipf->guide[slot + 1] : zipf->count - 1;

	/* The multiplication may have rounded up to the next slot. */
	if (low > 0 && zipf->cumulative[low - 1] > u)
		low = slot > 0 ? zipf->guide[slot - 1] : 0;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (zipf->cumulative[middle] > u)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}
