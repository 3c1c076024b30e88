#include "server/node/histogram.h"

uint64_t zs_histogram_upper(unsigned bucket)
{
	unsigned log = bucket / ZS_HISTOGRAM_SUB;
	uint64_t sub = bucket % ZS_HISTOGRAM_SUB;

	if (log == 0)
		return sub;
	return ((ZS_HISTOGRAM_SUB + sub + 1) << (log - 1)) - 1;
}

void zs_histogram_sum(const struct zs_histogram *histogram, uint64_t sum[ZS_HISTOGRAM_BUCKETS])
{
	for (unsigned i = 0; i < ZS_HISTOGRAM_BUCKETS; i++)
		sum[i] += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
}

uint64_t zs_histogram_percentile(const uint64_t sum[ZS_HISTOGRAM_BUCKETS], double percent)
{
	uint64_t total = 0;
	uint64_t seen = 0;
	double wanted;

	for (unsigned i = 0; i < ZS_HISTOGRAM_BUCKETS; i++)
		total += sum[i];
	wanted = (double)total * percent / 100;
	for (unsigned i = 0; i < ZS_HISTOGRAM_BUCKETS; i++) {
		seen += sum[i];
		if (sum[i] && (double)seen >= wanted)
			return zs_histogram_upper(i);
	}
	return 0;
}
