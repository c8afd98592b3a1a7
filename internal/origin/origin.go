// Package origin compares a page's origin with the host that it asks.
package origin

import (
	"net/http"
	"strings"
)

// Same reports whether r comes from a page of the host that it asks, or
// from no page. The scheme is not compared: behind a proxy that terminates TLS
// a server does not know its own.
func Same(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false
	}
	scheme, host, ok := strings.Cut(origins[0], "://")
	if !ok {
		return false // "null" and the like
	}
	if strings.EqualFold(host, r.Host) {
		return true
	}
	// RFC 6454, 6.1: an origin leaves out its scheme's default port, which
	// Host may name.
	port := ":80"
	if strings.EqualFold(scheme, "https") {
		port = ":443"
	}
	own, ok := strings.CutSuffix(r.Host, port)
	return ok && strings.EqualFold(host, own)
}
