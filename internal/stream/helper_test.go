package stream_test

import (
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/bodokaiser/walve/internal/memconn"
	"github.com/bodokaiser/walve/internal/stream"
	"github.com/bodokaiser/walve/internal/testcert"
)

func config(version uint16) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{testcert.Get()}, InsecureSkipVerify: true,
		MinVersion: version, MaxVersion: version,
		DynamicRecordSizingDisabled: true, // so that tests know where records end
	}
}

// socketPair returns two ends of a connection over network.
func socketPair(t testing.TB, network string) (a, b net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err = net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// secure is handshake and New of the server.
func secure(t testing.TB, version uint16, over func(net.Conn) net.Conn, a, b net.Conn) (stream.Stream, *tls.Conn) {
	t.Helper()
	server, client := handshake(t, version, over, a, b)
	return stream.New(server), client
}

// handshake makes a TLS server of a and a client of b. over is what the server
// runs on: a, or a Transport over a.
func handshake(t testing.TB, version uint16, over func(net.Conn) net.Conn, a, b net.Conn) (server, client *tls.Conn) {
	t.Helper()
	server, client = tls.Server(over(a), config(version)), tls.Client(b, config(version))
	done := make(chan error)
	go func() { done <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// The first application data has TLS 1.3's session tickets before it.
	go func() {
		_, err := server.Write([]byte("."))
		done <- err
	}()
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return server, client
}

func transport(c net.Conn) net.Conn { return stream.NewTransport(c) }
func plain(c net.Conn) net.Conn     { return c }

// rows are the two ways to run on TLS.
var rows = []struct {
	name string
	over func(net.Conn) net.Conn
}{{"transport", transport}, {"pump", plain}}

// secureMem is secure over memconn; a is the end below the Stream.
func secureMem(t testing.TB, over func(net.Conn) net.Conn, opts ...memconn.Option) (s stream.Stream, peer *tls.Conn, a, b *memconn.Conn) {
	t.Helper()
	a, b = memconn.Pipe(opts...)
	s, peer = secure(t, tls.VersionTLS13, over, a, b)
	return s, peer, a, b
}

// kinds are the Streams there are, each with a peer that is no Stream.
var kinds = []struct {
	name string
	pair func(t testing.TB) (stream.Stream, net.Conn)
}{
	{"tcp", func(t testing.TB) (stream.Stream, net.Conn) {
		a, b := socketPair(t, "tcp")
		return stream.New(a), b
	}},
	{"unix", func(t testing.TB) (stream.Stream, net.Conn) {
		a, b := socketPair(t, "unix")
		return stream.New(a), b
	}},
	{"pipe", func(t testing.TB) (stream.Stream, net.Conn) {
		a, b := net.Pipe()
		return stream.New(a), b
	}},
	{"mem", func(t testing.TB) (stream.Stream, net.Conn) {
		a, b := memconn.Pipe()
		return stream.New(a), b
	}},
	{"tls transport tcp", func(t testing.TB) (stream.Stream, net.Conn) {
		a, b := socketPair(t, "tcp")
		return secure(t, tls.VersionTLS13, transport, a, b)
	}},
	{"tls12 transport tcp", func(t testing.TB) (stream.Stream, net.Conn) {
		a, b := socketPair(t, "tcp")
		return secure(t, tls.VersionTLS12, transport, a, b)
	}},
	{"tls transport mem", func(t testing.TB) (stream.Stream, net.Conn) {
		s, peer, _, _ := secureMem(t, transport, memconn.Buffer(1000))
		return s, peer
	}},
	{"tls pump tcp", func(t testing.TB) (stream.Stream, net.Conn) {
		a, b := socketPair(t, "tcp")
		return secure(t, tls.VersionTLS13, plain, a, b)
	}},
	{"tls pump mem", func(t testing.TB) (stream.Stream, net.Conn) {
		s, peer, _, _ := secureMem(t, plain, memconn.Buffer(1000))
		return s, peer
	}},
}

// pattern returns n bytes of which any two near each other differ.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*31 + i>>8*7)
	}
	return p
}
