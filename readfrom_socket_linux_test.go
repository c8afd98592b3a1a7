package walve_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// relaying returns a server's Conn, the socket of its client, and what ReadFrom
// of that Conn is to read: a socket that sends data.
func relaying(t *testing.T, data []byte) (c *walve.Conn, client, from net.Conn) {
	t.Helper()
	client, nc := socketPair(t, "unix", t.TempDir()+"/s")
	source, from := tcpSockets(t)
	go func() { source.Write(data); source.Close() }()
	c = walve.NewTestConn(nc, walve.TestConfig{HalfClose: true})
	t.Cleanup(func() { from.Close(); client.Close(); c.Close() })
	return c, client, from
}

// readStream returns what the peer of client sends by walve until it closes.
func readStream(client net.Conn) ([]byte, error) {
	return io.ReadAll(walve.NewTestConn(client, walve.TestConfig{Client: true, HalfClose: true}))
}

// TestRelayWithoutDescriptors: a process that has no descriptor for a pipe
// copies.
func TestRelayWithoutDescriptors(t *testing.T) {
	data := randomBytes(1 << 20)
	c, client, from := relaying(t, data)
	walve.DropRelayPipes()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	relayed := begin(func() (int, error) {
		n, err := c.ReadFrom(from)
		c.CloseWrite()
		return int(n), err
	})
	got, err := readStream(client)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if r := <-relayed; r.n != len(data) || r.err != nil {
		t.Errorf("ReadFrom = %d, %v", r.n, r.err)
	}
	if n := walve.FreeRelayPipes(); n != 0 {
		t.Errorf("%d pipes: the test does not test what it should", n)
	}
}

// TestRelayReset: the client is gone while a pipe holds what is for it.
func TestRelayReset(t *testing.T) {
	walve.DropRelayPipes()
	c, client, from := relaying(t, make([]byte, 8<<20))
	relayed := begin(func() (int, error) { n, err := c.ReadFrom(from); return int(n), err })
	if _, err := io.ReadFull(client, make([]byte, 1<<10)); err != nil {
		t.Fatal(err)
	}
	client.Close()
	r := <-relayed
	if oe, ok := r.err.(*net.OpError); !ok || oe.Op != "write" || !errors.Is(r.err, syscall.EPIPE) && !errors.Is(r.err, syscall.ECONNRESET) {
		t.Errorf("ReadFrom: %v", r.err)
	}
	if n := walve.FreeRelayPipes(); n != 0 {
		t.Errorf("%d pipes that are not empty would be used again", n)
	}
}

// TestRule2RelayDeadlineBeforeHeader: what a deadline finds in the pipe, with
// nothing of its frame on the wire, is kept and counted.
func TestRule2RelayDeadlineBeforeHeader(t *testing.T) {
	data := randomBytes(300 << 10)
	c, client, from := relaying(t, data)
	// Nothing fits into the socket any more, and the Conn does not know.
	nc := c.NetConn()
	nc.SetWriteDeadline(time.Now().Add(time.Millisecond))
	filled, err := nc.Write(make([]byte, 16<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	nc.SetWriteDeadline(time.Time{})
	var total int64
	for cut := false; !cut; {
		c.SetWriteDeadline(time.Now().Add(time.Millisecond))
		n, err := c.ReadFrom(from)
		checkTimeout(t, "ReadFrom", err)
		total += n
		cut = n > 0
	}
	c.SetWriteDeadline(time.Time{})
	relayed := begin(func() (int, error) {
		n, err := c.ReadFrom(from)
		c.CloseWrite()
		return int(n), err
	})
	if _, err := io.CopyN(io.Discard, client, int64(filled)); err != nil {
		t.Fatal(err)
	}
	got, err := readStream(client)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if r := <-relayed; total+int64(r.n) != int64(len(data)) || r.err != nil {
		t.Errorf("ReadFrom = %d, %d, %v", total, r.n, r.err)
	}
}

// TestRelayPipesBounded: of more relays at once than there are pipes to keep,
// none leaves a descriptor.
func TestRelayPipesBounded(t *testing.T) {
	walve.DropRelayPipes()
	pipes := func() (n int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		for _, e := range entries {
			if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(target, "pipe:") {
				n++
			}
		}
		return n
	}
	before := pipes()
	kept, limit, err := walve.UseRelayPipes(100)
	if err != nil || kept != limit || pipes()-before != 2*limit {
		t.Errorf("%d pipes are kept, with %d descriptors, %v; want %d", kept, pipes()-before, err, limit)
	}
	walve.DropRelayPipes()
	if n := pipes() - before; n != 0 {
		t.Errorf("%d descriptors left", n)
	}
}
