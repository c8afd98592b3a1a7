package main

import (
	"context"
	"net"
	"slices"
)

// Peer is a library, or one way of using it.
type Peer struct {
	Name   string
	Module string // its path; of the standard library: empty
	Usage  string // how it is used, for the report

	// Raw: no WebSocket at all, on either side. It is what the others are
	// measured against.
	Raw bool

	// Compresses says that it takes part in work with compression.
	Compresses bool

	// Only reports whether the peer is meant for w; nil: for all.
	Only func(w Work) bool

	// Lacks says why the library cannot do w, and is empty if it can; nil: it
	// can do all.
	Lacks func(w Work) string

	// Serve hands the connections that come in through ln to s, until ln is
	// closed.
	Serve func(s *Server, ln net.Listener) error

	// Dial connects to c's server.
	Dial func(ctx context.Context, c *Client) (Link, error)
}

// peers in the order in which they are run and shown.
var peers = []*Peer{
	tcpPeer, tlsPeer, netHTTPPeer,
	walvePeer, walveMessagesPeer, walveHTTPSPeer, walvePlainPeer,
	gobwasPeer, gobwasListenerPeer, gorillaPeer, coderPeer, coderNetConnPeer, gwsPeer, nbioPeer, xnetPeer,
}

func peerNamed(name string) *Peer {
	i := slices.IndexFunc(peers, func(p *Peer) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return peers[i]
}

// takesPart reports whether p is meant for w, and if so why it cannot do it.
func (p *Peer) takesPart(w Work) (meant bool, lacks string) {
	if w.Compression != Uncompressed && !p.Compresses || p.Only != nil && !p.Only(w) {
		return false, ""
	}
	if p.Lacks != nil {
		lacks = p.Lacks(w)
	}
	return true, lacks
}

// bufferSize is that of a connection's buffers where a library has a setting:
// large enough for a message and its header, as gorilla's documentation
// advises, but not so large that it leaves the cache. An idle connection gets
// a small one.
func bufferSize(w Work) int {
	if w.Kind == Idle {
		return 256
	}
	return min(max(w.Size+64, 4<<10), 64<<10)
}
