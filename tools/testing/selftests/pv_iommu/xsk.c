// SPDX-License-Identifier: GPL-2.0
/*
 * xsk CARD PEER FRAMES: what one network card sends another has to be in the memory of
 * this program as it was sent, which the card has mapped once (AF_XDP, without a copy
 * by the kernel). It is changed in place and goes back from there.
 *
 * The two are on one wire. Exits with 4 if the card's driver cannot do without a copy.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NR_FRAMES	256
#define FRAME_SIZE	4096
#define BATCH		32
#define PATIENCE	20000		/* ms for a frame to arrive */
#define UNSUPPORTED	4
#define NR_INSNS	6
/* For experiments on one wire (IEEE 802) */
#define ETHERTYPE	0x88b5

struct frame {
	struct ethhdr eth;
	uint8_t nr[4];
	uint8_t data[];
};

/* One of the socket's rings; its size is NR_FRAMES */
struct ring {
	uint32_t *producer;
	uint32_t *consumer;
	void *desc;
};

static struct ring fill, done, rx, tx;
static uint8_t *umem;
static uint8_t card_mac[ETH_ALEN], peer_mac[ETH_ALEN];
static int xsk, wire;

static int check(int ret, const char *what)
{
	if (ret < 0)
		err(1, "%s", what);
	return ret;
}

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* ---- rings: one producer and one consumer, which is the kernel or this program ---- */

static uint32_t ring_filled(const struct ring *r)
{
	return __atomic_load_n(r->producer, __ATOMIC_ACQUIRE) -
	       __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
}

/* Only as many frames are about as a ring has room for */
static void put_addr(struct ring *r, uint64_t addr)
{
	((uint64_t *)r->desc)[*r->producer % NR_FRAMES] = addr;
	__atomic_store_n(r->producer, *r->producer + 1, __ATOMIC_RELEASE);
}

static void put_desc(struct ring *r, struct xdp_desc desc)
{
	((struct xdp_desc *)r->desc)[*r->producer % NR_FRAMES] = desc;
	__atomic_store_n(r->producer, *r->producer + 1, __ATOMIC_RELEASE);
}

static void consumed(struct ring *r)
{
	__atomic_store_n(r->consumer, *r->consumer + 1, __ATOMIC_RELEASE);
}

static void ring_map(struct ring *r, const struct xdp_ring_offset *off, size_t entry,
		     off_t which)
{
	size_t size = off->desc + NR_FRAMES * entry;
	uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			   xsk, which);

	if (at == MAP_FAILED)
		err(1, "mmap of a ring");
	r->producer = (void *)(at + off->producer);
	r->consumer = (void *)(at + off->consumer);
	r->desc = at + off->desc;
}

/* ---- the sockets ---- */

static void set_size(int option)
{
	int size = NR_FRAMES;

	check(setsockopt(xsk, SOL_XDP, option, &size, sizeof(size)), "setsockopt");
}

static void umem_setup(void)
{
	struct xdp_umem_reg reg = {
		.len = NR_FRAMES * FRAME_SIZE,
		.chunk_size = FRAME_SIZE,
	};
	struct xdp_mmap_offsets off;
	socklen_t length = sizeof(off);
	unsigned int i;

	umem = mmap(NULL, reg.len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (umem == MAP_FAILED)
		err(1, "mmap");
	reg.addr = (uintptr_t)umem;
	xsk = check(socket(AF_XDP, SOCK_RAW, 0), "socket AF_XDP");
	check(setsockopt(xsk, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)), "XDP_UMEM_REG");
	set_size(XDP_UMEM_FILL_RING);
	set_size(XDP_UMEM_COMPLETION_RING);
	set_size(XDP_RX_RING);
	set_size(XDP_TX_RING);
	check(getsockopt(xsk, SOL_XDP, XDP_MMAP_OFFSETS, &off, &length),
	      "XDP_MMAP_OFFSETS");
	ring_map(&fill, &off.fr, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING);
	ring_map(&done, &off.cr, sizeof(uint64_t), XDP_UMEM_PGOFF_COMPLETION_RING);
	ring_map(&rx, &off.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
	ring_map(&tx, &off.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
	for (i = 0; i < NR_FRAMES; i++)
		put_addr(&fill, i * FRAME_SIZE);
}

/* Have the card's first queue give all that it receives to the socket in a map */
static void redirect(int map, unsigned int card)
{
	struct bpf_insn insns[NR_INSNS] = {
		/* return bpf_redirect_map(map, 0, XDP_PASS) */
		{ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1,
		  .src_reg = BPF_PSEUDO_MAP_FD, .imm = map },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3,
		  .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insns = (uintptr_t)insns,
		.insn_cnt = NR_INSNS,
		.license = (uintptr_t)"GPL",
		.expected_attach_type = BPF_XDP,
	};
	union bpf_attr link = {
		.link_create = {
			.target_ifindex = card,
			.attach_type = BPF_XDP,
			.flags = XDP_FLAGS_DRV_MODE,
		},
	};

	link.link_create.prog_fd = check(bpf(BPF_PROG_LOAD, &load), "BPF_PROG_LOAD");
	check(bpf(BPF_LINK_CREATE, &link), "BPF_LINK_CREATE");
}

static void xsk_setup(unsigned int card)
{
	struct sockaddr_xdp addr = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = XDP_ZEROCOPY,
		.sxdp_ifindex = card,
	};
	union bpf_attr map = {
		.map_type = BPF_MAP_TYPE_XSKMAP,
		.key_size = sizeof(int),
		.value_size = sizeof(int),
		.max_entries = 1,
	};
	union bpf_attr update = { 0 };
	int key = 0;

	umem_setup();
	update.map_fd = check(bpf(BPF_MAP_CREATE, &map), "BPF_MAP_CREATE");
	redirect(update.map_fd, card);
	if (bind(xsk, (struct sockaddr *)&addr, sizeof(addr)))
		err(errno == EOPNOTSUPP ? UNSUPPORTED : 1, "bind");
	update.key = (uintptr_t)&key;
	update.value = (uintptr_t)&xsk;
	check(bpf(BPF_MAP_UPDATE_ELEM, &update), "BPF_MAP_UPDATE_ELEM");
}

static void mac_of(const char *name, uint8_t *mac)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	check(ioctl(wire, SIOCGIFHWADDR, &ifr), name);
	memcpy(mac, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
}

static void wire_setup(unsigned int peer)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETHERTYPE),
		.sll_ifindex = peer,
	};
	int size = 1 << 20;

	wire = check(socket(AF_PACKET, SOCK_RAW, htons(ETHERTYPE)), "socket AF_PACKET");
	check(setsockopt(wire, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), "SO_RCVBUF");
	check(bind(wire, (struct sockaddr *)&addr, sizeof(addr)), "bind AF_PACKET");
}

/* ---- frames ---- */

/* Of all sizes that there are on the wire */
static unsigned int length_of(uint32_t nr)
{
	return ETH_ZLEN + nr * 37 % (ETH_FRAME_LEN - ETH_ZLEN + 1);
}

static uint8_t byte_of(uint32_t nr, unsigned int i)
{
	return (nr * 2654435761u >> 11) + i * 7 + (i >> 8);
}

static uint32_t nr_of(const struct frame *f)
{
	uint32_t nr;

	memcpy(&nr, f->nr, sizeof(nr));
	return nr;
}

static unsigned int make(struct frame *f, uint32_t nr)
{
	unsigned int length = length_of(nr), i;

	memcpy(f->eth.h_dest, card_mac, ETH_ALEN);
	memcpy(f->eth.h_source, peer_mac, ETH_ALEN);
	f->eth.h_proto = htons(ETHERTYPE);
	memcpy(f->nr, &nr, sizeof(nr));
	for (i = 0; i < length - sizeof(*f); i++)
		f->data[i] = byte_of(nr, i);
	return length;
}

/* @change: what all of its bytes were changed by */
static void verify(const struct frame *f, unsigned int length, uint8_t change,
		   const char *where)
{
	uint32_t nr = nr_of(f);
	unsigned int i;

	if (length != length_of(nr))
		errx(1, "%s: frame %u has %u bytes, sent were %u", where, nr, length,
		     length_of(nr));
	for (i = 0; i < length - sizeof(*f); i++) {
		uint8_t want = byte_of(nr, i) ^ change;

		if (f->data[i] != want)
			errx(1, "%s: byte %u of frame %u is 0x%02x, it has to be 0x%02x",
			     where, i, nr, f->data[i], want);
	}
}

/* One that has come goes back as it is, but for all its bytes */
static void turn_round(struct xdp_desc desc)
{
	struct frame *f = (void *)(umem + desc.addr);
	unsigned int i;

	if (desc.len < sizeof(*f) || f->eth.h_proto != htons(ETHERTYPE)) {
		/* the kernel's own, for its neighbours */
		put_addr(&fill, desc.addr & ~(FRAME_SIZE - 1ULL));
		return;
	}
	verify(f, desc.len, 0, "received");
	memcpy(f->eth.h_dest, peer_mac, ETH_ALEN);
	memcpy(f->eth.h_source, card_mac, ETH_ALEN);
	for (i = 0; i < desc.len - sizeof(*f); i++)
		f->data[i] ^= 0xff;
	desc.options = 0;
	put_desc(&tx, desc);
	if (sendto(xsk, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
	    errno != EBUSY && errno != ENOBUFS)
		err(1, "sendto");
}

/* Until so many have come back to the peer */
static void exchange(unsigned int nr)
{
	struct pollfd fds[] = {
		{ .fd = xsk, .events = POLLIN },
		{ .fd = wire, .events = POLLIN },
	};
	uint8_t buf[FRAME_SIZE];
	struct frame *f = (void *)buf;

	while (nr) {
		if (!check(poll(fds, 2, PATIENCE), "poll"))
			errx(1, "of %d frames %u did not come back", BATCH, nr);
		while (ring_filled(&rx)) {
			struct xdp_desc *descs = rx.desc;

			turn_round(descs[*rx.consumer % NR_FRAMES]);
			consumed(&rx);
		}
		while (ring_filled(&done)) {
			uint64_t *addrs = done.desc;

			put_addr(&fill, addrs[*done.consumer % NR_FRAMES] &
					~(FRAME_SIZE - 1ULL));
			consumed(&done);
		}
		if (fds[1].revents) {
			ssize_t length = check(recv(wire, buf, sizeof(buf), 0), "recv");

			/* those that go out from there come by as well */
			if (!memcmp(f->eth.h_source, card_mac, ETH_ALEN)) {
				verify(f, length, 0xff, "sent back");
				nr--;
			}
		}
	}
}

int main(int argc, char **argv)
{
	unsigned int card, peer, nr, i, frames;
	uint8_t buf[FRAME_SIZE];

	if (argc != 4)
		errx(2, "usage: xsk CARD PEER FRAMES");
	card = if_nametoindex(argv[1]);
	peer = if_nametoindex(argv[2]);
	frames = strtoul(argv[3], NULL, 0);
	if (!card || !peer || !frames)
		errx(2, "no such cards, or no frames");

	wire_setup(peer);
	mac_of(argv[1], card_mac);
	mac_of(argv[2], peer_mac);
	xsk_setup(card);

	for (nr = 0; nr < frames; nr += BATCH) {
		for (i = 0; i < BATCH; i++) {
			unsigned int length = make((void *)buf, nr + i);

			if (check(send(wire, buf, length, 0), "send") != (int)length)
				errx(1, "send: only a part");
		}
		exchange(BATCH);
	}
	printf("%u frames to the program's memory and back\n", nr);
	return 0;
}
