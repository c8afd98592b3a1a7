package walve_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// relayConns copies both ways until both ends have closed.
func relayConns(a, b net.Conn) {
	var wg sync.WaitGroup
	for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			io.Copy(ends[0], ends[1])
			if c, ok := ends[0].(interface{ CloseWrite() error }); ok {
				c.CloseWrite()
			}
		})
	}
	wg.Wait()
	a.Close()
	b.Close()
}

// A connectProxy is an HTTP proxy that knows CONNECT; whatever is asked for, it
// connects to target.
type connectProxy struct {
	target string
	asked  chan *http.Request
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked <- r
	if r.Method != http.MethodConnect {
		http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	if r.Header.Get("Proxy-Authorization") != "Basic dXNlcjpzZWNyZXQ=" { // user:secret
		w.Header().Set("Proxy-Authenticate", "Basic")
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return
	}
	to, err := net.Dial("tcp", p.target)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		to.Close()
		return
	}
	io.WriteString(conn, "HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")
	relayConns(conn, to)
}

// serveSOCKS5 is a SOCKS5 proxy (RFC 1928, 1929) that wants user and secret,
// and connects to target whatever is asked for.
func serveSOCKS5(p *rawPeer, target string, asked chan<- string) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(p, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	methods := read(int(read(2)[1]))
	if !bytes.Contains(methods, []byte{2}) {
		p.send("\x05\xff")
		return
	}
	p.send("\x05\x02")
	user := read(int(read(2)[1]))
	password := read(int(read(1)[0]))
	if string(user) != "user" || string(password) != "secret" {
		p.send("\x01\x01")
		return
	}
	p.send("\x01\x00")
	var host string
	switch kind := read(4)[3]; kind {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = net.IP(read(16)).String()
	}
	port := binary.BigEndian.Uint16(read(2))
	asked <- net.JoinHostPort(host, strconv.Itoa(int(port)))
	to, err := net.Dial("tcp", target)
	if err != nil {
		p.send("\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")
		return
	}
	p.send("\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01")
	relayConns(p.Conn, to)
}

// TestDialProxy is every kind of proxy, for ws and wss, the latter over HTTP/2
// too, with and without the right password.
func TestDialProxy(t *testing.T) {
	checkLeaks(t)
	quiet(t)
	serverTLS, clientTLS := exampleTLS()
	for _, scheme := range []string{"http", "https", "socks5", "socks5h"} {
		for _, kind := range []string{"ws", "wss", "h2"} {
			secure := kind != "ws"
			t.Run(scheme+"/"+kind, func(t *testing.T) {
				l := new(walve.Listener)
				target := "ws://target.example.com/path"
				want := "target.example.com:80"
				if secure {
					l.TLSConfig = serverTLS
					target = "wss://example.com:8443/path"
					want = "example.com:8443"
				}
				if err := l.Listen("tcp", "127.0.0.1:0"); err != nil {
					t.Fatal(err)
				}
				defer l.Close()

				asked := make(chan string, 1)
				var proxyAddr string
				switch scheme {
				case "http", "https":
					p := &connectProxy{target: l.Addr().String(), asked: make(chan *http.Request, 1)}
					srv := httptest.NewUnstartedServer(p)
					if scheme == "https" {
						srv.TLS = serverTLS.Clone()
						srv.StartTLS()
					} else {
						srv.Start()
					}
					defer srv.Close()
					proxyAddr = srv.Listener.Addr().String()
					go func() {
						for r := range p.asked {
							asked <- r.Host
						}
					}()
					defer close(p.asked)
				default:
					proxyAddr = strings.TrimPrefix(rawServer(t, func(p *rawPeer) {
						serveSOCKS5(p, l.Addr().String(), asked)
					}), "ws://")
				}

				var seen *http.Request
				var password atomic.Value
				password.Store("wrong")
				d := &walve.Dialer{
					TLSConfig: clientTLS, URL: target,
					Proxy: func(r *http.Request) (*url.URL, error) {
						seen = r
						return &url.URL{Scheme: scheme, Host: proxyAddr, User: url.UserPassword("user", password.Load().(string))}, nil
					},
				}
				if kind == "h2" {
					d.HTTP2 = walve.HTTP2Offered
				}
				_, err := d.Dial("tcp", "")
				if err == nil || strings.Contains(err.Error(), "wrong") || !strings.Contains(err.Error(), proxyAddr) {
					t.Errorf("with the wrong password: %v", err)
				}
				if !strings.HasPrefix(scheme, "socks") {
					resp := wantStatus(t, err, http.StatusProxyAuthRequired)
					if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "who are you?") || resp.Header.Get("Proxy-Authenticate") == "" {
						t.Errorf("body %q, header %v", body, resp.Header)
					}
					<-asked
				} else if errors.As(err, new(*walve.HandshakeError)) {
					t.Errorf("a SOCKS proxy has no HTTP status: %v", err)
				}

				password.Store("secret")
				c, err := d.Dial("tcp", "")
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if got := <-asked; got != want {
					t.Errorf("the proxy was asked for %s, want %s", got, want)
				}
				if wantScheme := map[bool]string{false: "http", true: "https"}[secure]; seen.URL.Scheme != wantScheme || seen.URL.Path != "/path" {
					t.Errorf("Proxy got %v", seen.URL)
				}
				server := accept(t, l)
				if got := server.Request().ProtoMajor == 2; got != (kind == "h2") {
					t.Errorf("HTTP/2: %v", got)
				}
				if server.Request().Header.Get("Proxy-Authorization") != "" {
					t.Error("the proxy's password went to the server")
				}
				wantEcho(t, c, server)
				if tlsState := c.(*walve.Conn).Response().TLS; (tlsState != nil) != secure {
					t.Errorf("Response.TLS %v", tlsState)
				}
				// Not wrapped by what talks to the proxy.
				switch conn := c.(*walve.Conn).NetConn().(type) {
				case *net.TCPConn:
					if secure || scheme == "https" {
						t.Error("no TLS")
					}
				case *tls.Conn:
					if !secure && scheme != "https" {
						t.Error("TLS")
					}
				default:
					t.Errorf("NetConn is a %T", conn)
				}
				wantRecoverableWrite(t, c, server)
			})
		}
	}
}

// wantRecoverableWrite cuts writes by deadlines, while nobody reads, and wants
// every byte once all the same.
func wantRecoverableWrite(t *testing.T, from, to net.Conn) {
	t.Helper()
	p := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // more than sockets buffer
	from.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	off, err := from.Write(p)
	for err != nil && errors.Is(err, os.ErrDeadlineExceeded) && off < len(p)/2 {
		var n int
		from.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		n, err = from.Write(p[off:])
		if off += n; n == 0 {
			break // full
		}
	}
	from.SetWriteDeadline(time.Time{})
	read := make(chan []byte)
	go func() {
		b := make([]byte, len(p))
		n, err := io.ReadFull(to, b)
		if err != nil {
			t.Errorf("%d bytes arrived: %v", n, err)
		}
		read <- b[:n]
	}()
	if _, err := from.Write(p[off:]); err != nil {
		t.Error(err)
		to.Close()
	}
	if got := <-read; !bytes.Equal(got, p) {
		t.Error("not the same bytes")
	}
}

func TestDialProxyErrors(t *testing.T) {
	checkLeaks(t)
	closed := refusingAddr(t)
	raw := func(answer string) string {
		return strings.TrimPrefix(rawServer(t, func(p *rawPeer) {
			p.Peek(1)
			p.send(answer)
		}), "ws://")
	}
	own := errors.New("own")
	for _, tt := range []struct {
		name  string
		proxy string
		is    error
		part  string
	}{
		{"refused", "http://user:secret@" + closed, syscall.ECONNREFUSED, closed},
		{"refused", "socks5://user:secret@" + closed, syscall.ECONNREFUSED, closed},
		{"scheme", "ftp://user:secret@" + closed, nil, `"ftp"`},
		{"no scheme", "//user:secret@" + closed, nil, "scheme"},
		{"closes", "http://" + raw(""), io.ErrUnexpectedEOF, "proxy"},
		{"closes", "socks5://" + raw(""), io.ErrUnexpectedEOF, "proxy"},
		{"not HTTP", "http://" + raw("nonsense\r\n\r\n"), nil, "not HTTP"},
		{"not SOCKS", "socks5://" + raw("nonsense"), nil, "version"},
		{"speaks before it is spoken to", "http://" + raw("HTTP/1.1 200 OK\r\n\r\nx"), nil, "behind"},
		{"502", "http://" + raw("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\ndown"), nil, "502"},
		{"own", "", own, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &walve.Dialer{Proxy: func(*http.Request) (*url.URL, error) {
				if tt.proxy == "" {
					return nil, own
				}
				return url.Parse(tt.proxy)
			}}
			_, err := d.DialURL(context.Background(), "ws://example.com")
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.part) || strings.Contains(err.Error(), "secret") {
				t.Error(err)
			}
		})
	}
}

// A unix socket has no proxy, nor has Handshake.
func TestDialUnixNoProxy(t *testing.T) {
	checkLeaks(t)
	path := t.TempDir() + "/s"
	l, err := walve.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := &walve.Dialer{Proxy: func(*http.Request) (*url.URL, error) {
		t.Error("Proxy was asked")
		return nil, nil
	}}
	c, err := d.DialURL(context.Background(), "ws+unix://"+path+":/x")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantEcho(t, c, accept(t, l))
}

// TestDialProxyEnvironment: a nil Proxy is what the environment says, which
// net/http reads once, so that it takes a process of its own.
func TestDialProxyEnvironment(t *testing.T) {
	const variable = "WALVE_TEST_DIAL"
	if urls := os.Getenv(variable); urls != "" {
		d := &walve.Dialer{NetDial: func(_ context.Context, _, addr string) (net.Conn, error) {
			fmt.Println("dial", addr)
			return nil, errors.New("no connection")
		}}
		for _, url := range strings.Fields(urls) {
			d.DialURL(context.Background(), url)
		}
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestDialProxyEnvironment$")
	cmd.Env = append(os.Environ(), "REQUEST_METHOD=", "http_proxy=", "https_proxy=", "no_proxy=",
		"HTTP_PROXY=http://plain.example:3128", "HTTPS_PROXY=socks5://secure.example", "NO_PROXY=direct.example",
		variable+"=ws://example.com wss://example.com ws://direct.example wss://a.direct.example:1 ws://localhost:1")
	out, err := cmd.CombinedOutput()
	want := "dial plain.example:3128\ndial secure.example:1080\ndial direct.example:80\ndial a.direct.example:1\ndial localhost:1\n"
	if err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDialProxyZone: an IPv6 zone says something to this machine only.
func TestDialProxyZone(t *testing.T) {
	for _, scheme := range []string{"http", "socks5"} {
		near, far := memconn.Pipe()
		d := &walve.Dialer{
			Proxy:   http.ProxyURL(&url.URL{Scheme: scheme, Host: "proxy:1"}),
			NetDial: func(context.Context, string, string) (net.Conn, error) { return near, nil },
		}
		failed := make(chan error, 1)
		go func() {
			_, err := d.DialURL(t.Context(), "ws://[fe80::1%25a%20b]:8080/")
			failed <- err
		}()
		want := "CONNECT [fe80::1]:8080 HTTP/1.1\r\nHost: [fe80::1]:8080\r\n"
		if scheme == "socks5" {
			io.ReadFull(far, make([]byte, 3)) // the methods
			far.Write([]byte{5, 0})
			want = "\x05\x01\x00\x04\xfe\x80" + strings.Repeat("\x00", 13) + "\x01\x1f\x90"
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(far, got); err != nil || string(got) != want {
			t.Errorf("%s: the proxy was sent %q, %v, want %q", scheme, got, err, want)
		}
		far.Close()
		if err := <-failed; err == nil {
			t.Error("no error")
		}
		near.Close()
	}
}
