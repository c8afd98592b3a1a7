package peers_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/bodokaiser/walve"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsServer runs a server until the end of the test.
func natsServer(t testing.TB, opts *server.Options) *server.Server {
	t.Helper()
	opts.NoLog, opts.NoSigs = true, true
	opts.Host, opts.Port = "127.0.0.1", server.RANDOM_PORT
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(timeout) {
		t.Fatal("the NATS server does not start")
	}
	return s
}

// TestNATS has an embedded server take clients that come through a Listener.
func TestNATS(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		s := natsServer(t, &server.Options{})
		var tunnels sync.WaitGroup
		t.Cleanup(func() { ln.Close(); tunnels.Wait() })
		tunnels.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				inner, err := s.InProcessConn()
				if err != nil {
					t.Error(err)
					return
				}
				tunnels.Go(func() { tunnel(c, inner) })
			}
		})
		talkNATS(t, d)
	})
}

// tunnel moves the bytes of a to b, and back, until either ends.
func tunnel(a, b net.Conn) {
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			io.Copy(way[0], way[1])
			way[0].Close()
			way[1].Close()
		})
	}
	wg.Wait()
}

// TestNATSWebSocket has the client come to the WebSocket of the NATS server,
// which is an implementation of its own.
func TestNATSWebSocket(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			opts := &server.Options{Websocket: server.WebsocketOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoTLS: true}}
			d := &walve.Dialer{}
			if scheme == "wss" {
				opts.Websocket.NoTLS, opts.Websocket.TLSConfig = false, serverTLS()
				d.TLSConfig = clientTLS()
			}
			natsServer(t, opts)
			d.URL = fmt.Sprintf("%s://127.0.0.1:%d", scheme, opts.Websocket.Port)
			talkNATS(t, d)
		})
	}
}

// A natsDialer keeps nats.go from TLS of its own: a server with wss announces
// that it requires TLS, and does not know that it is there already.
type natsDialer struct{ *walve.Dialer }

func (natsDialer) SkipTLSHandshake() bool { return true }

func talkNATS(t testing.TB, d *walve.Dialer) {
	t.Helper()
	connect := func() *nats.Conn {
		nc, err := nats.Connect("nats://walve", nats.SetCustomDialer(natsDialer{d}), nats.Timeout(timeout), nats.NoReconnect())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	a, b := connect(), connect()

	sub, err := a.SubscribeSync("bulk")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Subscribe("double", func(m *nats.Msg) { m.Respond(append(m.Data, m.Data...)) }); err != nil {
		t.Fatal(err)
	}
	if err := a.Flush(); err != nil {
		t.Fatal(err)
	}
	const messages = 500
	for i := range messages {
		if err := b.Publish("bulk", pattern(i*20)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range messages {
		m, err := sub.NextMsg(timeout)
		if err != nil || !bytes.Equal(m.Data, pattern(i*20)) {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	reply, err := b.Request("double", pattern(300_000), timeout)
	if err != nil || len(reply.Data) != 600_000 {
		t.Fatalf("request: %v", err)
	}
}
