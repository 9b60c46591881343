/* Real symbols for what DPDK offers only as static inlines, macros or thread-local variables. */
#include "wrapper.h"

int rvs_errno(void)
{
	return rte_errno;
}

unsigned rvs_lcore_id(void)
{
	return rte_lcore_id();
}

uint64_t rvs_rdtsc(void)
{
	return rte_rdtsc();
}

struct rte_mbuf *rvs_pktmbuf_alloc(struct rte_mempool *pool)
{
	return rte_pktmbuf_alloc(pool);
}

int rvs_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

void rvs_pktmbuf_free(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
}

int rvs_pktmbuf_linearize(struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_linearize(mbuf);
}

unsigned rvs_ring_sp_enqueue_burst(struct rte_ring *ring, void *const *objs, unsigned count)
{
	return rte_ring_sp_enqueue_burst(ring, objs, count, NULL);
}

unsigned rvs_ring_sc_dequeue_burst(struct rte_ring *ring, void **objs, unsigned count)
{
	return rte_ring_sc_dequeue_burst(ring, objs, count, NULL);
}

unsigned rvs_ring_count(const struct rte_ring *ring)
{
	return rte_ring_count(ring);
}
