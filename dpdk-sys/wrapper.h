/* What rvs uses of DPDK: the input of bindgen, and the declarations of shim.c. */
#ifndef RVS_DPDK_WRAPPER_H
#define RVS_DPDK_WRAPPER_H

/* For processor sets. */
#define _GNU_SOURCE

#include <stdint.h>

#include <rte_config.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_thread.h>
#include <rte_version.h>

/* Flags whose macros bindgen cannot evaluate, under the names of their macros without RTE_. */
#define RVS_FLAG(name) static const uint64_t RVS_##name = RTE_##name

RVS_FLAG(ETH_RX_OFFLOAD_VLAN_STRIP);
RVS_FLAG(ETH_RX_OFFLOAD_IPV4_CKSUM);
RVS_FLAG(ETH_RX_OFFLOAD_TCP_CKSUM);
RVS_FLAG(ETH_RX_OFFLOAD_UDP_CKSUM);
RVS_FLAG(ETH_RX_OFFLOAD_RSS_HASH);
RVS_FLAG(ETH_TX_OFFLOAD_IPV4_CKSUM);
RVS_FLAG(ETH_TX_OFFLOAD_TCP_CKSUM);
RVS_FLAG(ETH_TX_OFFLOAD_UDP_CKSUM);

RVS_FLAG(ETH_RSS_IPV4);
RVS_FLAG(ETH_RSS_FRAG_IPV4);
RVS_FLAG(ETH_RSS_NONFRAG_IPV4_TCP);
RVS_FLAG(ETH_RSS_NONFRAG_IPV4_UDP);
RVS_FLAG(ETH_RSS_NONFRAG_IPV4_OTHER);
RVS_FLAG(ETH_RSS_IPV6);
RVS_FLAG(ETH_RSS_FRAG_IPV6);
RVS_FLAG(ETH_RSS_NONFRAG_IPV6_TCP);
RVS_FLAG(ETH_RSS_NONFRAG_IPV6_UDP);
RVS_FLAG(ETH_RSS_NONFRAG_IPV6_OTHER);

RVS_FLAG(MBUF_F_RX_RSS_HASH);
RVS_FLAG(MBUF_F_RX_VLAN_STRIPPED);
RVS_FLAG(MBUF_F_RX_IP_CKSUM_MASK);
RVS_FLAG(MBUF_F_RX_IP_CKSUM_BAD);
RVS_FLAG(MBUF_F_RX_IP_CKSUM_GOOD);
RVS_FLAG(MBUF_F_RX_L4_CKSUM_MASK);
RVS_FLAG(MBUF_F_RX_L4_CKSUM_BAD);
RVS_FLAG(MBUF_F_RX_L4_CKSUM_GOOD);
RVS_FLAG(MBUF_F_TX_IPV4);
RVS_FLAG(MBUF_F_TX_IPV6);
RVS_FLAG(MBUF_F_TX_IP_CKSUM);
RVS_FLAG(MBUF_F_TX_TCP_CKSUM);
RVS_FLAG(MBUF_F_TX_UDP_CKSUM);

static const int RVS_SOCKET_ID_ANY = SOCKET_ID_ANY;
static const unsigned RVS_LCORE_ID_ANY = LCORE_ID_ANY;
static const unsigned RVS_MEMPOOL_NAMESIZE = RTE_MEMPOOL_NAMESIZE;
static const unsigned RVS_RING_NAMESIZE = RTE_RING_NAMESIZE;

/* rte_errno, rte_lcore_id(): thread-local, reached by macro or static inline. */
int rvs_errno(void);
unsigned rvs_lcore_id(void);

/* rte_rdtsc() */
uint64_t rvs_rdtsc(void);

/* rte_pktmbuf_*: static inlines. */
struct rte_mbuf *rvs_pktmbuf_alloc(struct rte_mempool *pool);
int rvs_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned count);
void rvs_pktmbuf_free(struct rte_mbuf *mbuf);
int rvs_pktmbuf_linearize(struct rte_mbuf *mbuf);

/* rte_ring_*: static inlines, for one producer and one consumer. */
unsigned rvs_ring_sp_enqueue_burst(struct rte_ring *ring, void *const *objs, unsigned count);
unsigned rvs_ring_sc_dequeue_burst(struct rte_ring *ring, void **objs, unsigned count);
unsigned rvs_ring_count(const struct rte_ring *ring);

#endif
