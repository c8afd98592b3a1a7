package walve

import (
	"net"
	"net/http"

	"github.com/bodokaiser/walve/internal/origin"
)

// The opening handshake's inside, for the tests of package walve_test.

var (
	HasToken           = hasToken
	ValidKey           = validKey
	SameOrigin         = origin.Same
	ChooseSubprotocol  = chooseSubprotocol
	RewrittenAddr      = rewrittenAddr
	HalfCloseExtension = halfCloseExtension
	MaxResponseHeader  = maxResponseHeader
	SetConnectProtocol = setConnectProtocol
)

// Accept returns the answer to key.
func Accept(key string) string { return string(appendAccept(nil, key)) }

// Extensions returns values, of Sec-WebSocket-Extensions, as it is sent.
func Extensions(values ...string) (string, bool) {
	list, ok := parseExtensions(values)
	return string(appendExtensions(nil, list...)), ok
}

// AgreeHalfClose reports what the server makes of an offer, and whether the
// client takes it for an answer.
func AgreeHalfClose(values ...string) (server, client, ok bool) {
	list, _ := parseExtensions(values)
	agreed, ok := confirmExtensions(nil, list)
	return acceptExtensions(nil, list).halfClose, agreed.halfClose, ok
}

// HalfClose reports what the opening handshake of c agreed on.
func HalfClose(c *Conn) bool { return c.hs.halfClose }

// KeptRemoteAddr returns the address that c keeps beside its stream's.
func KeptRemoteAddr(c *Conn) net.Addr { return c.hs.remoteAddr }

// Request returns what d sends to url, and where to.
func Request(d *Dialer, url string) (wire, network, addr string, secure bool, req *http.Request, err error) {
	t, err := parseTarget(url)
	if err != nil {
		return "", "", "", false, nil, err
	}
	r, err := d.newRequest(t)
	if err != nil {
		return "", "", "", false, nil, err
	}
	return string(r.appendTo(nil)), t.network, t.addr, t.secure, r.Request, nil
}
