package walve

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"
)

// connectProxy returns a connection to t through the proxy at u.
func (d *Dialer) connectProxy(ctx context.Context, u *url.URL, t *target) (net.Conn, error) {
	port, connect := "", d.connectHTTP
	switch u.Scheme {
	case "http":
		port = "80"
	case "https":
		port = "443"
	case "socks5", "socks5h":
		port, connect = "1080", connectSOCKS
	default:
		return nil, proxyError(u, fmt.Errorf("its scheme is %q, not http, https, socks5 or socks5h", u.Scheme))
	}
	if p := u.Port(); p != "" {
		port = p
	}
	conn, err := d.netDial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, proxyError(u, err)
	}
	w := watch(ctx, conn)
	conn, err = connect(ctx, conn, u, t)
	if err == nil && !w.stop() {
		err = ctx.Err()
	}
	if err != nil {
		return nil, proxyError(u, w.failed(err))
	}
	return conn, nil
}

// proxyError says which proxy err is about, without its password.
func proxyError(u *url.URL, err error) error {
	return fmt.Errorf("walve: proxy %s://%s: %w", u.Scheme, u.Host, err)
}

// connectHTTP asks the HTTP proxy on conn for a tunnel: RFC 9110, 9.3.6.
func (d *Dialer) connectHTTP(ctx context.Context, conn net.Conn, u *url.URL, t *target) (net.Conn, error) {
	if u.Scheme == "https" {
		config := d.tlsConfig("")
		config.ServerName = u.Hostname()
		tc, err := startTLS(ctx, conn, config)
		if err != nil {
			return nil, err
		}
		conn = tc
	}
	addr := t.unzoned()
	b := append(append(append([]byte(nil), "CONNECT "...), addr...), " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", addr)
	b = appendField(b, "User-Agent", userAgent)
	if u.User != nil {
		password, _ := u.User.Password()
		b = appendField(b, "Proxy-Authorization",
			"Basic "+base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	if _, err := conn.Write(append(b, "\r\n"...)); err != nil {
		return nil, err
	}
	r := newResponseReader(conn)
	defer r.release()
	resp, err := r.read(&http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		r.keepBody(resp)
		return nil, &HandshakeError{Response: resp, StatusCode: resp.StatusCode, Reason: "the proxy refuses CONNECT"}
	}
	// Neither TLS nor WebSocket servers speak before they are spoken to.
	if len(r.buffered()) > 0 {
		return nil, errors.New("data behind the answer to CONNECT")
	}
	return conn, nil
}

// unzoned is t.addr for others: a zone says something to this machine only.
func (t *target) unzoned() string {
	host, port, _ := net.SplitHostPort(t.addr)
	host, _, _ = strings.Cut(host, "%")
	return net.JoinHostPort(host, port)
}

// connectSOCKS asks the SOCKS5 proxy on conn for a connection: RFC 1928.
func connectSOCKS(ctx context.Context, conn net.Conn, u *url.URL, t *target) (net.Conn, error) {
	var auth *proxy.Auth
	if u.User != nil {
		auth = &proxy.Auth{User: u.User.Username()}
		auth.Password, _ = u.User.Password()
	}
	socks, err := proxy.SOCKS5("tcp", u.Host, auth, nil)
	// The other methods of socks wrap the connection in a type of their own.
	on, ok := socks.(interface {
		DialWithConn(ctx context.Context, c net.Conn, network, address string) (net.Addr, error)
	})
	if !ok {
		return nil, cmp.Or(err, errors.New("golang.org/x/net/proxy cannot use a connection"))
	}
	if _, err := on.DialWithConn(ctx, conn, "tcp", t.unzoned()); err != nil {
		return nil, err
	}
	return conn, nil
}
