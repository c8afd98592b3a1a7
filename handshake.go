package walve

import (
	"crypto/sha1"
	"encoding/base64"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// RFC 6455, 1.3: the Globally Unique Identifier that is appended to the key.
	acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	// The one version of the protocol that RFC 6455 defines.
	protocolVersion = "13"

	defaultMaxMessageSize = 16 << 20
	defaultKeepAlive      = 30 * time.Second
)

// handshake is all that a Conn knows of its opening handshake.
type handshake struct {
	terms
	deflate    *deflateAgreement // nil: no compression; until newConn
	remoteAddr net.Addr          // nil: the stream's
	request    *http.Request     // what a Listener accepted
	response   *http.Response    // what a Dialer got
	onClose    func(*Conn)       // nil, or called once, when the user has closed the Conn
	release    func(time.Time)   // nil, or what every Close waits for, until then, before it returns
}

// terms is the part of a handshake that is the same for many Conns.
type terms struct {
	client         bool
	halfClose      bool // both ends are walve: see halfCloseExtension
	subprotocol    string
	maxMessageSize int64         // of ReadMessage; never 0
	keepAlive      time.Duration // <= 0: never
}

// lastTerms is the last handshake of which nothing but the terms was set.
var lastTerms atomic.Pointer[handshake]

// shared returns hs or, if nothing but its terms is set, one with the same terms
// for all: a server's many Conns then hold one. Nobody changes it any more.
func (hs *handshake) shared() *handshake {
	if hs.deflate != nil || hs.remoteAddr != nil || hs.request != nil || hs.response != nil || hs.onClose != nil || hs.release != nil {
		return hs
	}
	if last := lastTerms.Load(); last != nil && last.terms == hs.terms {
		return last
	}
	lastTerms.Store(hs)
	return hs
}

// limits resolves the zero values that Upgrader and Dialer share.
func (hs *handshake) limits(maxMessageSize int64, keepAlive time.Duration) {
	hs.maxMessageSize, hs.keepAlive = maxMessageSize, keepAlive
	if maxMessageSize <= 0 {
		hs.maxMessageSize = defaultMaxMessageSize
	}
	if keepAlive == 0 {
		hs.keepAlive = defaultKeepAlive
	}
}

// handshake returns what a client's Conn is to know of one that ended so.
func (e extensions) handshake(subprotocol string, resp *http.Response) *handshake {
	return &handshake{
		terms:   terms{client: true, halfClose: e.halfClose, subprotocol: subprotocol},
		deflate: e.deflate, response: resp,
	}
}

// Request returns the request of the opening handshake of a Conn that a
// Listener has accepted: its URL, headers, cookies, TLS state and the values
// of its context, which middleware may have set. The context itself ended when
// ServeHTTP returned, over HTTP/2 when the Conn was closed, and the Body is
// empty. It is nil after Upgrade and
// on the client, where the caller has the request.
func (c *Conn) Request() *http.Request { return c.hs.request }

// Response returns the server's answer to the opening handshake of a client's
// Conn: its header, cookies and TLS state; the Body is empty. It is nil on
// the server.
func (c *Conn) Response() *http.Response { return c.hs.response }

// A HandshakeError says that an opening handshake failed because one side
// refused the other: RFC 6455 section 4. On the client it comes from the
// methods of Dialer, on the server from Upgrade, which has sent the answer.
// Failures of the network are not HandshakeErrors.
type HandshakeError struct {
	// Response is, on the client, what the server (or a proxy that refused
	// CONNECT) answered. Up to the first KiB of its body can be read from
	// Body, which need not be closed. It is nil on the server, and if the
	// answer is not HTTP.
	Response *http.Response
	// StatusCode is the HTTP status of the answer, got or sent; 0 if there is
	// none. It is 101, or 2xx over HTTP/2, if the server agreed but its answer
	// breaks the rules.
	StatusCode int
	// Reason says what is wrong, for people.
	Reason string
	// Err is the cause, or nil.
	Err error
}

func (e *HandshakeError) Error() string {
	b := []byte("websocket: handshake refused: ")
	if e.StatusCode != 0 {
		b = strconv.AppendInt(b, int64(e.StatusCode), 10)
		if text := http.StatusText(e.StatusCode); text != "" {
			b = append(append(b, ' '), text...)
		}
		b = append(b, ": "...)
	}
	b = append(b, e.Reason...)
	if e.Err != nil {
		b = append(append(b, ": "...), e.Err.Error()...)
	}
	return string(b)
}

// Unwrap returns Err.
func (e *HandshakeError) Unwrap() error { return e.Err }

// checkRequest holds r against RFC 6455 section 4.2.1. It returns the key, or
// how r is to be refused.
func checkRequest(r *http.Request) (key string, refused *HandshakeError) {
	refuse := func(status int, reason string) (string, *HandshakeError) {
		return "", &HandshakeError{StatusCode: status, Reason: reason}
	}
	// "The method of the request MUST be GET, and the HTTP version MUST be at
	// least 1.1." HTTP/2 has a handshake of its own, RFC 8441.
	if r.Method != http.MethodGet {
		return refuse(http.StatusMethodNotAllowed, "the method is not GET")
	}
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 {
		return refuse(http.StatusBadRequest, "the request is not HTTP/1.1")
	}
	if !asksForUpgrade(r) {
		return refuse(http.StatusUpgradeRequired, "the request asks for no upgrade to websocket")
	}
	// A body would be taken for frames by one side and not by the other.
	if hasBody(r) {
		return refuse(http.StatusBadRequest, "the request has a body")
	}
	if refused := checkVersion(r); refused != nil {
		return "", refused
	}
	// "A |Sec-WebSocket-Key| header field with a base64-encoded value that,
	// when decoded, is 16 bytes in length", and not more than once (11.3.1).
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 || !validKey(keys[0]) {
		return refuse(http.StatusBadRequest, "Sec-WebSocket-Key is not 16 bytes in base64, once")
	}
	return keys[0], nil
}

// checkVersion holds r against RFC 6455, 4.2.1, item 6: "A
// |Sec-WebSocket-Version| header field, with a value of 13", which "MUST NOT
// appear more than once in an HTTP request" (11.3.5).
func checkVersion(r *http.Request) *HandshakeError {
	switch versions := r.Header["Sec-Websocket-Version"]; {
	case len(versions) > 1:
		return &HandshakeError{StatusCode: http.StatusBadRequest, Reason: "repeated Sec-WebSocket-Version"}
	case len(versions) == 0 || versions[0] != protocolVersion:
		return &HandshakeError{StatusCode: http.StatusUpgradeRequired, Reason: "the version of the protocol is not 13"}
	}
	return nil
}

// asksForUpgrade tells the requests for WebSocket from all others: RFC 6455,
// 4.2.1, items 3 and 4. RFC 9110, 7.8: "A server MUST ignore an Upgrade header
// field that is received in an HTTP/1.0 request."
func asksForUpgrade(r *http.Request) bool {
	return isExtendedConnect(r) || r.ProtoMajor == 1 && r.ProtoMinor >= 1 &&
		hasToken(r.Header["Connection"], "upgrade") && hasToken(r.Header["Upgrade"], "websocket")
}

func hasBody(r *http.Request) bool { return r.ContentLength != 0 || len(r.TransferEncoding) != 0 }

// validKey reports whether key is 16 bytes in base64.
func validKey(key string) bool {
	if len(key) != 24 || key[22:] != "==" {
		return false
	}
	for i := range 22 {
		c := key[i]
		if (c|0x20 < 'a' || 'z' < c|0x20) && (c < '0' || '9' < c) && c != '+' && c != '/' {
			return false
		}
	}
	return true
}

// appendAccept appends the value of Sec-WebSocket-Accept that answers key.
func appendAccept(b []byte, key string) []byte {
	var in [24 + len(acceptGUID)]byte
	n := copy(in[:], key)
	n += copy(in[n:], acceptGUID)
	sum := sha1.Sum(in[:n])
	return base64.StdEncoding.AppendEncode(b, sum[:])
}

// chooseSubprotocol returns the first of supported that the client has offered
// in Sec-WebSocket-Protocol, and false if that header is malformed. RFC 6455,
// 4.1, item 10: "The elements that comprise this value MUST be non-empty
// strings [...] and MUST all be unique strings."
func chooseSubprotocol(supported, header []string) (string, bool) {
	if len(header) == 0 {
		return "", true
	}
	offered, ok := parseTokens(header)
	if !ok || !validSubprotocols(offered) {
		return "", false
	}
	for _, s := range supported {
		for _, o := range offered {
			if s == o {
				return s, true
			}
		}
	}
	return "", true
}

// validSubprotocols reports whether all of names are tokens and different.
func validSubprotocols(names []string) bool {
	sorted := slices.Sorted(slices.Values(names)) // a peer may send thousands
	for i, name := range sorted {
		if !validToken(name) || i > 0 && name == sorted[i-1] {
			return false
		}
	}
	return true
}

// checkResponse holds resp against RFC 6455 section 4.1, given what was asked
// for, and returns what the two ends have agreed on, or what is wrong.
func checkResponse(resp *http.Response, accept string, subprotocols []string, c *Compression) (subprotocol string, agreed extensions, wrong string) {
	h := resp.Header
	switch {
	case resp.StatusCode != http.StatusSwitchingProtocols:
		wrong = "the server does not switch to websocket"
	case resp.ProtoMajor != 1 || resp.ProtoMinor < 1:
		wrong = "the answer is not HTTP/1.1"
	// "If the response lacks an |Upgrade| header field or [it] contains a
	// value that is not an ASCII case-insensitive match for the value
	// "websocket", the client MUST _Fail the WebSocket Connection_."
	case len(h["Upgrade"]) != 1 || !equalFold(h["Upgrade"][0], "websocket"):
		wrong = "Upgrade is not websocket"
	// "[or] the |Connection| header field doesn't contain a token that is an
	// ASCII case-insensitive match for the value "Upgrade""
	case !hasToken(h["Connection"], "upgrade"):
		wrong = "Connection lacks upgrade"
	case len(h["Sec-Websocket-Accept"]) != 1 || h["Sec-Websocket-Accept"][0] != accept:
		wrong = "Sec-WebSocket-Accept does not answer the key"
	}
	if wrong != "" {
		return "", agreed, wrong
	}
	return checkAgreed(h, subprotocols, c)
}

// checkAgreed is the part of checkResponse that is the same over HTTP/2.
func checkAgreed(h http.Header, subprotocols []string, c *Compression) (subprotocol string, agreed extensions, wrong string) {
	// "If the response includes a |Sec-WebSocket-Protocol| header field and
	// [it] indicates the use of a subprotocol that was not present in the
	// client's handshake, the client MUST _Fail the WebSocket Connection_."
	if chosen := h["Sec-Websocket-Protocol"]; len(chosen) > 0 {
		ok := false
		for _, s := range subprotocols {
			ok = ok || s == chosen[0]
		}
		if !ok || len(chosen) > 1 {
			return "", agreed, "Sec-WebSocket-Protocol is not one that was asked for"
		}
		subprotocol = chosen[0]
	}
	accepted, ok := parseExtensions(h["Sec-Websocket-Extensions"])
	if !ok {
		return "", agreed, "malformed Sec-WebSocket-Extensions"
	}
	agreed, ok = confirmExtensions(c, accepted)
	if !ok {
		return "", agreed, "Sec-WebSocket-Extensions is not what was asked for"
	}
	return subprotocol, agreed, ""
}
