package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/bodokaiser/walve"
)

// clientFlags are those of the commands that connect to a URL.
type clientFlags struct {
	headers     http.Header
	proxy       string
	ca          string
	cert, key   string
	serverName  string
	insecure    bool
	authFile    string
	subprotocol string
	timeout     time.Duration
	keepAlive   time.Duration
}

func (f *clientFlags) register(fs *flag.FlagSet) {
	f.headers = make(http.Header)
	fs.Func("header", "a header field for the request, as `'Name: value'`; may be repeated", func(s string) error {
		name, value, ok := strings.Cut(s, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return errors.New("there is no colon behind its name")
		}
		f.headers.Add(name, strings.TrimSpace(value))
		return nil
	})
	fs.StringVar(&f.authFile, "auth-file", "", "a `file` whose first line is a bearer token, or user:password for Basic;\nunlike a URL it does not show in the list of processes")
	fs.StringVar(&f.proxy, "proxy", "", "a proxy's `URL`: http://, https:// or socks5://, with user:password@ if need be;\n\"none\" for none (default: HTTP_PROXY, HTTPS_PROXY and NO_PROXY)")
	fs.StringVar(&f.ca, "ca", "", "a `file` with the certificates (PEM) of authorities to trust instead of the system's")
	fs.StringVar(&f.cert, "cert", "", "a `file` with the client's certificate (PEM)")
	fs.StringVar(&f.key, "key", "", "a `file` with its private key (PEM; default: that of -cert)")
	fs.StringVar(&f.serverName, "server-name", "", "the `name` that the server's certificate must have (default: the URL's host)")
	fs.BoolVar(&f.insecure, "insecure", false, "do not check the server's certificate; for experiments: anybody may be at the other end")
	fs.StringVar(&f.subprotocol, "subprotocol", "", "subprotocols to offer, the preferred first: `a,b`")
	fs.DurationVar(&f.timeout, "timeout", 30*time.Second, "the most `time` that connecting may take, TLS and the opening handshake included")
	fs.DurationVar(&f.keepAlive, "keepalive", 30*time.Second, "the `time` a connection is idle before a Ping, half of what proxies allow at most;\n0: no Pings")
}

// A client connects to a URL.
type client struct {
	dialer  walve.Dialer
	timeout time.Duration
}

// client returns what the flags say, which is an error if they do not fit
// together or to rawURL.
func (f *clientFlags) client(rawURL string) (*client, error) {
	if err := checkURL(rawURL); err != nil {
		return nil, err
	}
	c := &client{timeout: f.timeout}
	d := &c.dialer
	d.URL = rawURL
	d.Header = f.headers
	if f.subprotocol != "" {
		d.Subprotocols = strings.Split(f.subprotocol, ",")
	}
	if d.KeepAlive = f.keepAlive; f.keepAlive == 0 {
		d.KeepAlive = -1
	}
	if f.authFile != "" {
		entries, err := readAuthFile(f.authFile)
		if err != nil {
			return nil, err
		}
		d.Header.Set("Authorization", entries[0].authorization())
	}
	if err := f.setProxy(d); err != nil {
		return nil, err
	}
	config, err := f.tlsConfig()
	if err != nil {
		return nil, err
	}
	d.TLSConfig = config
	return c, nil
}

func (f *clientFlags) setProxy(d *walve.Dialer) error {
	switch f.proxy {
	case "":
	case "none":
		d.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	default:
		u, err := url.Parse(f.proxy)
		if err != nil || u.Host == "" {
			return usagef("-proxy is not a URL such as http://host:3128") // it may have a password: it is not shown
		}
		d.Proxy = http.ProxyURL(u)
	}
	return nil
}

func (f *clientFlags) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{ServerName: f.serverName, InsecureSkipVerify: f.insecure}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("-ca %s: there is no certificate in PEM in it", f.ca)
		}
	}
	if f.cert != "" {
		key := f.key
		if key == "" {
			key = f.cert
		}
		pair, err := loadKeyPair("-cert", f.cert, "-key", key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	} else if f.key != "" {
		return nil, usagef("-key without -cert")
	}
	return config, nil
}

func loadKeyPair(certFlag, cert, keyFlag, key string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		err = &advised{fmt.Errorf("%s %s, %s %s: %w", certFlag, cert, keyFlag, key, err),
			"files in PEM, the certificate with its chain, and the key that belongs to it"}
	}
	return pair, err
}

// checkURL refuses what is no URL of a WebSocket before anything else is done.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return usagef("the URL is malformed: it looks like ws://host:8080/path or wss://host/path")
	}
	switch u.Scheme {
	case "ws", "wss", "http", "https":
		if u.Host != "" {
			return nil
		}
	case "ws+unix", "wss+unix":
		return nil
	}
	return usagef("%q is not a URL such as ws://host:8080/path or wss://host/path", u.Redacted())
}

// dial connects; it gives up at a stop signal.
func (c *client) dial(stop context.Context) (*walve.Conn, error) {
	ctx, cancel := stop, context.CancelFunc(func() {})
	if c.timeout > 0 {
		ctx, cancel = context.WithTimeout(stop, c.timeout)
	}
	defer cancel()
	conn, err := c.dialer.DialURL(ctx, c.dialer.URL)
	switch {
	case err == nil:
		return conn, nil
	case stop.Err() != nil:
		return nil, context.Cause(stop)
	}
	return nil, &connectError{err}
}

// canHalfClose reports whether the other end of conn is walve too: after its
// end of the stream this side may still write.
func canHalfClose(conn *walve.Conn) bool {
	var h http.Header
	if r := conn.Response(); r != nil {
		h = r.Header
	}
	return hasHalfClose(h)
}

// hasHalfClose looks for the extension token of the README. A server of walve's
// agrees whenever it is offered.
func hasHalfClose(h http.Header) bool {
	for _, line := range h["Sec-Websocket-Extensions"] {
		for extension := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(extension) == "walve.half-close" {
				return true
			}
		}
	}
	return false
}
