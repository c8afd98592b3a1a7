package walve

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/bodokaiser/walve/internal/origin"
	"github.com/bodokaiser/walve/internal/stream"
)

// answerTimeout bounds the time in which the 101 must be with the system: a
// client that has not even read that much is none.
const answerTimeout = 10 * time.Second

// An Upgrader turns HTTP requests into Conns. The zero value is ready. Its
// fields must not change while it is in use; Upgrade may then be called
// concurrently.
type Upgrader struct {
	// Subprotocols are those that this server speaks, the preferred first:
	// the first one that the client offers too is agreed on, without one in
	// common none. They must be tokens (RFC 6455, 1.9).
	Subprotocols []string

	// CheckOrigin reports whether the page that r comes from, named by its
	// Origin header, may connect. Nil allows pages of the host that r asks
	// for, and requests without Origin, which do not come from a browser.
	CheckOrigin func(r *http.Request) bool

	// MaxMessageSize bounds what ReadMessage returns, in bytes; a larger
	// message fails the connection with StatusMessageTooBig. 0 or less means
	// 16 MiB. Streams (Read, NextReader, NextMessage) are not bounded.
	MaxMessageSize int64

	// KeepAlive is how long a connection is idle before a Ping asks whether
	// the peer is still there, which may come half of that time later. 0 means
	// 30 s, less than 0 never.
	KeepAlive time.Duration

	// Compression is how messages are compressed if the peer agrees to it.
	// Nil means that they are not.
	Compression *Compression
}

// Upgrade is the Upgrade method of a zero Upgrader.
func Upgrade(w http.ResponseWriter, r *http.Request) (*Conn, error) {
	var u Upgrader
	return u.Upgrade(w, r)
}

// Upgrade answers r, the client's part of the opening handshake, with 101
// Switching Protocols and returns the Conn, which outlives the handler and
// which the caller closes. From then on w and r.Body may not be used.
//
// Over HTTP/2 (RFC 8441; see package enable), where r is a CONNECT with
// :protocol websocket and the answer 200, the Conn ends with the handler, which
// must not return before it has called Close. Close then waits, for up to a
// second, until the closing handshake is over. A pattern of http.ServeMux with
// the method GET does not match such requests. Conn.NetConn returns nil.
//
// If r cannot be upgraded it is answered with the status that RFC 6455 section
// 4.2 and RFC 9110 ask for, and the error is a *HandshakeError with that
// status: 405 if the method is not GET (and r is no such CONNECT), 400 if r is
// not HTTP/1.1, is malformed or has a body, 426 if it asks for no upgrade or for
// another version, 403 if its origin is not allowed, 500 if w cannot be
// hijacked. Any other error is the network's.
//
// The header fields in w.Header() go into the 101, but for those that belong
// to the handshake itself (Upgrade, Connection and all of Sec-WebSocket-) and
// those that a 101 cannot have (Content-Length, Transfer-Encoding, Trailer).
//
// w may be wrapped by middleware, if it has an Unwrap method for
// http.ResponseController or a Hijack method of its own. Deadlines that the
// http.Server has set are cleared.
func (u *Upgrader) Upgrade(w http.ResponseWriter, r *http.Request) (*Conn, error) {
	c, err := u.upgrade(w, r, &handshake{})
	if err == nil {
		c.pumpUntilClose()
	}
	return c, err
}

// upgrade is Upgrade, where hs holds what a Listener adds.
func (u *Upgrader) upgrade(w http.ResponseWriter, r *http.Request, hs *handshake) (*Conn, error) {
	var key string
	var refused *HandshakeError
	connect := isExtendedConnect(r)
	if connect {
		// RFC 8441, 5, leaves out the fields that say how HTTP/1.1 switches
		// protocols, and the key.
		refused = checkVersion(r)
	} else {
		key, refused = checkRequest(r)
	}
	if refused != nil {
		return nil, reply(w, r, refused)
	}
	// RFC 6455, 4.2.2: "If the server does not wish to accept this
	// connection, it MUST return an appropriate HTTP error code (e.g., 403
	// Forbidden)".
	check := u.CheckOrigin
	if check == nil {
		check = origin.Same
	}
	if !check(r) {
		return nil, reply(w, r, &HandshakeError{StatusCode: http.StatusForbidden, Reason: "the origin is not allowed"})
	}
	// 4.2.1: "any violations of the ABNF grammar specified for the components
	// of the handshake": 400.
	subprotocol, ok := chooseSubprotocol(u.Subprotocols, r.Header["Sec-Websocket-Protocol"])
	if !ok {
		return nil, reply(w, r, &HandshakeError{StatusCode: http.StatusBadRequest, Reason: "malformed Sec-WebSocket-Protocol"})
	}
	// 9.1 would have the server fail a malformed offer as well. It is declined
	// like one that is not understood: whoever sent it can do without.
	offers, _ := parseExtensions(r.Header["Sec-Websocket-Extensions"])
	agreed := acceptExtensions(u.Compression, offers)
	hs.subprotocol, hs.halfClose, hs.deflate = subprotocol, agreed.halfClose, agreed.deflate
	if connect {
		if hs.request != nil { // whose body is the stream
			asked := *r
			asked.Body = http.NoBody
			hs.request = &asked
		}
		return u.answerConnect(w, r, hs, agreed.answer)
	}

	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		failed := &HandshakeError{StatusCode: http.StatusInternalServerError, Reason: "the http.ResponseWriter cannot be hijacked", Err: err}
		if errors.Is(err, http.ErrHijacked) {
			return nil, failed // there is nothing left to answer on
		}
		return nil, reply(w, r, failed)
	}
	// Of net/http's two buffers only what the client has sent behind its
	// request is taken over, and that is copied: they are 8 KiB per Conn. The
	// writer's lends its memory to the answer.
	var buffered, answer []byte
	if rw != nil && rw.Reader != nil {
		buffered, _ = rw.Reader.Peek(rw.Reader.Buffered())
	}
	if rw != nil && rw.Writer != nil {
		answer = rw.Writer.AvailableBuffer()
	}
	answer = appendAnswer(answer, key, subprotocol, agreed.answer, w.Header())

	conn.SetDeadline(time.Now().Add(answerTimeout))
	if _, err := conn.Write(answer); err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})

	hs.limits(u.MaxMessageSize, u.KeepAlive)
	hs.remoteAddr = rewrittenAddr(r.RemoteAddr, conn.RemoteAddr())
	return newConn(stream.New(conn), hs.shared(), buffered), nil
}

// reply answers r with what is wrong and returns that.
func reply(w http.ResponseWriter, r *http.Request, refused *HandshakeError) error {
	h := w.Header()
	if hasBody(r) && r.ProtoMajor == 1 {
		h.Set("Connection", "close") // or net/http would wait for the body first
		// It does so behind the answer, and the server may have no ReadTimeout.
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(answerTimeout))
	}
	switch refused.StatusCode {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodGet)
	case http.StatusUpgradeRequired:
		// RFC 9110, 15.5.22: "The server MUST send an Upgrade header field in
		// a 426 response"; RFC 6455, 4.2.2: "with a |Sec-WebSocket-Version|
		// header field indicating the version(s) the server is capable of
		// understanding".
		h.Set("Sec-WebSocket-Version", protocolVersion)
		if r.ProtoMajor == 1 {
			h.Set("Upgrade", "websocket")
			h.Set("Connection", "Upgrade")
		}
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	http.Error(w, refused.Reason, refused.StatusCode)
	return refused
}

// appendAnswer appends the server's part of the opening handshake: RFC 6455,
// 4.2.2, item 5, and the user's header fields.
func appendAnswer(b []byte, key, subprotocol string, accepted []extension, header http.Header) []byte {
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = appendAccept(b, key)
	if subprotocol != "" {
		b = append(append(b, "\r\nSec-WebSocket-Protocol: "...), subprotocol...)
	}
	if len(accepted) > 0 {
		b = append(b, "\r\nSec-WebSocket-Extensions: "...)
		b = appendExtensions(b, accepted...)
	}
	b = append(b, "\r\n"...)
	for name, values := range header {
		if !validToken(name) || ownHeader(name) {
			continue
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return append(b, "\r\n"...)
}

// appendField appends a header field. Control characters in the value, which
// could end the field or the header, become spaces.
func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	for i := range len(value) {
		c := value[i]
		if c < ' ' && c != '\t' || c == 0x7f {
			c = ' '
		}
		b = append(b, c)
	}
	return append(b, "\r\n"...)
}

// ownHeader reports whether a header field is the handshake's own, or one that
// says how the body is framed, which a handshake does not have.
func ownHeader(name string) bool {
	const own = "Sec-WebSocket-"
	if len(name) >= len(own) && strings.EqualFold(name[:len(own)], own) {
		return true
	}
	for _, n := range [...]string{"Upgrade", "Connection", "Content-Length", "Transfer-Encoding", "Trailer"} {
		if equalFold(name, n) {
			return true
		}
	}
	return false
}

// rewrittenAddr returns the address in text, http.Request.RemoteAddr, if it is
// another one than that of the socket: middleware may have put it there. Nil
// means the socket's, which costs nothing to keep.
func rewrittenAddr(text string, socket net.Addr) net.Addr {
	if text == "" || text == "@" {
		return nil // a unix socket without a name
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		// Some middleware leaves the port out.
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return nil
		}
		addr = netip.AddrPortFrom(ip, 0)
	}
	if tcp, ok := socket.(*net.TCPAddr); ok {
		own := tcp.AddrPort()
		if own.Port() == addr.Port() && own.Addr().Unmap() == addr.Addr().Unmap() {
			return nil
		}
	}
	return net.TCPAddrFromAddrPort(addr)
}
