package peers_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// timeout is when a test that hangs is given up; nothing is measured by it.
const timeout = 3 * time.Minute

// A transport is a way from a Dialer to a Listener.
type transport struct {
	name string
	// listen returns both ends; what it starts ends with the test.
	listen func(testing.TB) (*walve.Listener, *walve.Dialer)
}

// transports are those that every protocol is run over.
var transports = []transport{
	{"ws", func(t testing.TB) (*walve.Listener, *walve.Dialer) { return listen(t, nil) }},
	{"wss", func(t testing.TB) (*walve.Listener, *walve.Dialer) { return listen(t, serverTLS()) }},
	{"h2", overHTTP2(true)},
	{"h2c", overHTTP2(false)},
}

func listen(t testing.TB, config *tls.Config) (*walve.Listener, *walve.Dialer) {
	t.Helper()
	ln := &walve.Listener{TLSConfig: config}
	if err := ln.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	d := &walve.Dialer{URL: "ws://" + ln.Addr().String() + "/"}
	if config != nil {
		d.URL, d.TLSConfig = "wss://"+ln.Addr().String()+"/", clientTLS()
	}
	return ln, d
}

// overTransports runs f as a subtest over every transport.
func overTransports(t *testing.T, f func(*testing.T, *walve.Listener, *walve.Dialer)) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			ln, d := tr.listen(t)
			f(t, ln, d)
		})
	}
}

// dial opens a Conn that ends with the test, and gives up after timeout.
func dial(t testing.TB, d *walve.Dialer) *walve.Conn {
	t.Helper()
	c, err := d.DialURL(bound(t), d.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(timeout))
	return c
}

// accept takes the next Conn of ln, which ends with the test.
func accept(t testing.TB, ln net.Listener) *walve.Conn {
	t.Helper()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(timeout))
	return c.(*walve.Conn)
}

// bound returns a context that ends with the test or after timeout.
func bound(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// serve runs h on a port of the loopback and returns its URL, of the scheme ws
// or, with a config, wss.
func serve(t testing.TB, h http.Handler, config *tls.Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "ws://" + ln.Addr().String()
	if config != nil {
		ln = tls.NewListener(ln, config)
		url = "wss" + strings.TrimPrefix(url, "ws")
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: timeout}
	var served sync.WaitGroup
	served.Go(func() { s.Serve(ln) })
	t.Cleanup(func() { s.Close(); served.Wait() })
	return url
}

// refusingAddr returns an address that refuses connections until t ends: that of
// a client, which nobody else is given meanwhile.
func refusingAddr(t testing.TB) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client.LocalAddr()
}

// certificate is one for 127.0.0.1 that signs itself.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"http/1.1"}}
}

func clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(certificate().Leaf)
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}}
}

// pattern returns n bytes whose order shows.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	return p
}
