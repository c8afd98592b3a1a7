package walve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/bodokaiser/walve/internal/stream"
)

// dialTimeout bounds a dial whose context has no deadline.
const dialTimeout = 45 * time.Second

// A Dialer makes Conns to WebSocket servers. The zero value is ready. Its
// fields must not change while it is in use; its methods may then be called
// concurrently. A Dialer must not be copied after first use.
//
// URLs have the schemes ws and wss, or http and https for the same, or ws+unix
// and wss+unix for a server on a unix socket: the path of the socket, a colon
// and the path of the resource, as in ws+unix:///run/app.sock:/chat?room=1.
// User and password in a URL become Basic authorization, unless Header has
// Authorization. RFC 6455, 3: URLs have no fragment.
//
// A context bounds the dial, the TLS handshake and the opening handshake; one
// without a deadline gets 45 s for all three. Once there is a Conn the context
// has no effect on it.
//
// Errors: a *HandshakeError if the server, or a proxy that was asked to CONNECT,
// refuses; what NetDial returns (over HTTP/2 in a *net.OpError), by default a
// *net.OpError around the system's error, such as ECONNREFUSED; or a *net.OpError around the context's error, that
// of crypto/tls, or what else happened to the connection during the handshake.
// That of a proxy is wrapped once more, to say which. A URL, Header or Subprotocols that cannot be used give an
// error before anything is sent. Redirects are not followed: they are a
// *HandshakeError, whose Response has the Location.
type Dialer struct {
	// NetDial makes the connections below, to the server or to its proxy and
	// without TLS; network is "tcp" or "unix". Nil means a zero net.Dialer.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Proxy returns the URL of the proxy for a request, whose URL has the
	// scheme http for ws and https for wss, or nil for none. Nil means
	// http.ProxyFromEnvironment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, never
	// for localhost. Proxies have the scheme http or https, which are asked
	// to CONNECT, or socks5 or socks5h, which both resolve the server's name;
	// their URLs may have user and password. A unix socket has no proxy.
	Proxy func(*http.Request) (*url.URL, error)

	// TLSConfig is for wss and for https proxies. Nil means a zero tls.Config.
	// ServerName is set from the URL if it is empty, and always for a
	// proxy. The protocols offered for ALPN are as HTTP2 says.
	TLSConfig *tls.Config

	// Header goes into the request. Host is sent in place of the URL's;
	// an empty User-Agent leaves that field out. What belongs to the handshake
	// itself (Upgrade, Connection, all of Sec-WebSocket-) or frames a body
	// is an error, and so are names and values that HTTP does not allow.
	Header http.Header

	// Jar has the cookies for the request, and gets those of the response,
	// also if that is a refusal. Nil means that only those in Header are sent.
	Jar http.CookieJar

	// URL is where Dial and DialContext connect to.
	URL string

	// Subprotocols are those that this client speaks, the preferred first.
	// The server chooses one or none. They must be tokens (RFC 6455, 1.9)
	// and different.
	Subprotocols []string

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

	// HTTP2 says when HTTP/2 is used, and the Conns to a server share a
	// connection: see the constants. The default is never. A connection is the
	// Dialer's own and closes 30 s after its last Conn. Handshake is always
	// HTTP/1.1.
	HTTP2 HTTP2Mode

	// HTTP2Window is how many bytes a server may send on a Conn over HTTP/2
	// before they are read, which is also what an unread Conn may hold: to use
	// a link, its bandwidth times its round trip time. 0 or less means 4 MiB.
	// While a Write waits for a server that sends all the time, and nobody
	// reads, it may be as much again, or 16 MiB: net/http's server would not go
	// on.
	HTTP2Window int

	shared shared
}

// Dial connects to the WebSocket server at url, with a zero Dialer.
func Dial(ctx context.Context, url string) (*Conn, error) {
	var d Dialer
	return d.DialURL(ctx, url)
}

// Dial connects to d.URL, whatever network and addr say: it has the signature
// that libraries expect of a dialer, see DialContext.
func (d *Dialer) Dial(network, addr string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, addr)
}

// DialContext connects to d.URL, whatever network and addr say, and returns a
// *Conn. It has the signature that libraries expect of a dialer, so that they
// run through WebSocket unchanged. It is an error if d.URL is empty.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.URL == "" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("walve: Dialer.URL is empty")}
	}
	c, err := d.DialURL(ctx, d.URL)
	if err != nil {
		return nil, err // not a nil *Conn in a net.Conn
	}
	return c, nil
}

// DialURL connects to the WebSocket server at url, or opens a stream on a
// connection to it that is there: see the field HTTP2.
func (d *Dialer) DialURL(ctx context.Context, url string) (*Conn, error) {
	t, err := parseTarget(url)
	if err != nil {
		return nil, err
	}
	req, err := d.newRequest(t)
	if err != nil {
		return nil, err
	}
	ctx, cancel := withDialTimeout(ctx)
	defer cancel()
	if d.wantsHTTP2(t) {
		return d.dialHTTP2(ctx, t, req)
	}
	return d.dialHTTP1(ctx, t, req)
}

func (d *Dialer) dialHTTP1(ctx context.Context, t *target, req *request) (*Conn, error) {
	conn, err := d.connect(ctx, t, req.Request)
	if err != nil {
		return nil, err
	}
	return d.handshake(ctx, conn, t.secure, t, req)
}

// Handshake makes a Conn to the server at url of conn, an existing connection
// to it or to whatever leads there; NetDial and Proxy are not used. For wss and
// https the TLS handshake comes first, with TLSConfig, unless conn is a
// *tls.Conn already, or has its ConnectionState method. From the call on conn
// belongs to Handshake and then to the Conn: it is closed if there is an error.
func (d *Dialer) Handshake(ctx context.Context, conn net.Conn, url string) (*Conn, error) {
	t, err := parseTarget(url)
	if err != nil {
		conn.Close()
		return nil, err
	}
	req, err := d.newRequest(t)
	if err != nil {
		conn.Close()
		return nil, err
	}
	ctx, cancel := withDialTimeout(ctx)
	defer cancel()
	_, secured := conn.(tlsConn)
	return d.handshake(ctx, conn, t.secure && !secured, t, req)
}

// A tlsConn is a *tls.Conn or what wraps one.
type tlsConn interface{ ConnectionState() tls.ConnectionState }

func withDialTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, dialTimeout)
}

// connect returns the connection to t, through a proxy or not, before TLS.
func (d *Dialer) connect(ctx context.Context, t *target, req *http.Request) (net.Conn, error) {
	if t.network == "unix" {
		return d.netDial(ctx, t.network, t.addr)
	}
	find := d.Proxy
	if find == nil {
		find = http.ProxyFromEnvironment
	}
	proxy, err := find(req)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: t.network, Err: fmt.Errorf("walve: no usable proxy: %w", err)}
	}
	if proxy != nil {
		return d.connectProxy(ctx, proxy, t)
	}
	return d.netDial(ctx, t.network, t.addr)
}

func (d *Dialer) netDial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	if d.NetDial != nil {
		conn, err = d.NetDial(ctx, network, addr)
		if conn == nil && err == nil {
			err = errors.New("walve: NetDial returned no connection")
		}
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// handshake makes a Conn of conn, after TLS on it if addTLS, or closes it.
func (d *Dialer) handshake(ctx context.Context, conn net.Conn, addTLS bool, t *target, req *request) (*Conn, error) {
	w := watch(ctx, conn)
	if addTLS {
		tc, err := startTLS(ctx, conn, d.tlsConfig(t.hostname))
		if err != nil {
			return nil, w.failed(err)
		}
		conn = tc
	}
	if _, err := conn.Write(req.appendTo(make([]byte, 0, 1024))); err != nil {
		return nil, w.failed(err)
	}
	r := newResponseReader(conn)
	defer r.release()
	resp, err := r.read(req.Request)
	if err != nil {
		return nil, w.failed(err)
	}
	d.noteResponse(resp, conn, t, req)
	subprotocol, agreed, wrong := checkResponse(resp, req.accept, d.Subprotocols, d.Compression)
	if wrong != "" {
		r.keepBody(resp)
		return nil, w.failed(&HandshakeError{Response: resp, StatusCode: resp.StatusCode, Reason: wrong})
	}
	// Whoever made the connection may have left deadlines. Not every net.Conn
	// has them, those of x/crypto/ssh for one.
	conn.SetDeadline(time.Time{})
	if !w.stop() {
		return nil, w.failed(ctx.Err())
	}
	hs := agreed.handshake(subprotocol, resp)
	hs.limits(d.MaxMessageSize, d.KeepAlive)
	return newConn(stream.New(conn), hs, r.buffered()), nil
}

// noteResponse notes the state of TLS on conn, which resp came by, and puts the
// cookies that resp sets into the Jar, whatever else it says.
func (d *Dialer) noteResponse(resp *http.Response, conn net.Conn, t *target, req *request) {
	if tc, ok := conn.(tlsConn); ok && t.secure {
		state := tc.ConnectionState()
		resp.TLS = &state
	}
	if d.Jar != nil {
		if cookies := resp.Cookies(); len(cookies) > 0 {
			d.Jar.SetCookies(req.URL, cookies)
		}
	}
}

// tlsConfig returns a copy of TLSConfig for the server called name.
func (d *Dialer) tlsConfig(name string) *tls.Config {
	config := &tls.Config{}
	if d.TLSConfig != nil {
		config = d.TLSConfig.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = name
	}
	config.NextProtos = []string{"http/1.1"}
	return config
}

// startTLS does the TLS handshake on conn.
func startTLS(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	if outer, ok := conn.(*tls.Conn); ok {
		// TLS inside TLS, of an https proxy. A write deadline must not reach
		// the outer one either.
		conn = streamConn{stream.New(outer)}
	}
	tc := tls.Client(stream.NewTransport(conn), config)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return tc, nil
}

// A streamConn is a Stream as a net.Conn.
type streamConn struct{ stream.Stream }

func (c streamConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// A watcher closes a connection when a context ends: whatever goes on there
// then fails.
type watcher struct {
	ctx  context.Context
	conn net.Conn
	stop func() bool // reports false if it was too late
}

func watch(ctx context.Context, conn net.Conn) *watcher {
	if tc, ok := conn.(*tls.Conn); ok {
		conn = tc.NetConn() // tls.Conn.Close may wait for the peer
	}
	w := &watcher{ctx: ctx, conn: conn}
	w.stop = context.AfterFunc(ctx, func() { conn.Close() })
	return w
}

// failed closes the connection and returns err, or the end of the context if
// that was the cause.
func (w *watcher) failed(err error) error {
	w.stop()
	w.conn.Close()
	var refused *HandshakeError
	if errors.As(err, &refused) {
		return err
	}
	if ended := w.ctx.Err(); ended != nil {
		err = ended
	} else if by, ok := w.ctx.Deadline(); ok && isTimeout(err) && !time.Now().Before(by) {
		err = context.DeadlineExceeded // of a deadline that was made of that of ctx
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if oe, ok := err.(*net.OpError); ok {
		err = oe.Err
	}
	remote := w.conn.RemoteAddr()
	network := "tcp"
	if remote != nil {
		network = remote.Network()
	}
	return &net.OpError{Op: "dial", Net: network, Source: w.conn.LocalAddr(), Addr: remote, Err: err}
}
