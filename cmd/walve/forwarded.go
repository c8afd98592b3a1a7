package main

import (
	"net/http"
	"net/netip"
	"strings"
)

// trustedProxies are the networks whose X-Forwarded-For is believed.
type trustedProxies struct {
	networks []netip.Prefix
	unix     bool // those that connect through a unix socket
}

// parse adds a list of networks, addresses and the word unix.
func (t *trustedProxies) parse(list string) error {
	for s := range strings.SplitSeq(list, ",") {
		s = strings.TrimSpace(s)
		if s == "unix" {
			t.unix = true
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			addr, aerr := netip.ParseAddr(s)
			if aerr != nil {
				return usagef("%q is not a network such as 10.0.0.0/8", s)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		t.networks = append(t.networks, p.Masked())
	}
	return nil
}

func (t *trustedProxies) trusts(addr netip.Addr) bool {
	for _, p := range t.networks {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// clientAddr returns the address that r comes from, for http.Request.RemoteAddr:
// the socket's or, if that is a trusted proxy's, what the proxies say.
//
// Each proxy appends whom it has got the request from, so that the list is
// walked from its end for as long as proxies are trusted. What stands before
// is what a client likes to write.
func (t *trustedProxies) clientAddr(r *http.Request) string {
	remote := r.RemoteAddr
	if peer, ok := parseForwarded(remote); ok {
		if !t.trusts(peer) {
			return remote
		}
	} else if !t.unix {
		return remote
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, ok := parseForwarded(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		remote = addr.String()
		if !t.trusts(addr) {
			break
		}
	}
	return remote
}

// parseForwarded parses an address with or without a port, as proxies write it.
func parseForwarded(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), true
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	addr, err := netip.ParseAddr(s)
	return addr.Unmap(), err == nil
}
