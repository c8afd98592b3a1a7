package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lesismal/llib/std/crypto/tls"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

var nbioPeer = &Peer{
	Name:   "nbio",
	Module: "github.com/lesismal/nbio",
	Usage: "its own engine and HTTP server, OnMessage and WriteMessage; IOModBlocking without asynchronous writes, which its README " +
		"recommends for few connections; idle: IOModNonBlocking, which has no goroutines; its clients never block",
	Lacks: func(w Work) string {
		switch {
		case w.Kind == Echo && w.API == Stream:
			return "it has no Read and Write"
		case w.Kind == Upload && w.Role == AsClient:
			return "its client buffers without bound instead of waiting for the server"
		}
		return ""
	},
	Serve: serveNBIO,
	Dial:  dialNBIO,
}

func init() { logging.SetLevel(logging.LevelNone) }

func serveNBIO(s *Server, ln net.Listener) error {
	u := nbioUpgrader(s)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			s.fail("upgrade", err)
			return
		}
		c.SetReadDeadline(time.Time{})
	})
	cfg := nbhttp.Config{
		Handler:                      mux,
		IOMod:                        nbhttp.IOModBlocking,
		BlockingReadBufferSize:       bufferSize(s.Work),
		MaxWebsocketFramePayloadSize: max(s.Work.Size, nbhttp.DefaultMaxWebsocketFramePayloadSize),
		ReleaseWebsocketPayload:      true,
		SupportServerOnly:            true,
		Listen:                       func(network, addr string) (net.Listener, error) { return ln, nil },
	}
	if s.Work.Kind == Idle {
		cfg.IOMod = nbhttp.IOModNonBlocking
	}
	addrs := []string{ln.Addr().String()}
	if s.Work.TLS {
		pair, err := tls.X509KeyPair(s.Cert.Cert, s.Cert.Key)
		if err != nil {
			return err
		}
		cfg.AddrsTLS, cfg.TLSConfig = addrs, &tls.Config{Certificates: []tls.Certificate{pair}}
	} else {
		cfg.Addrs = addrs
	}
	engine := nbhttp.NewEngine(cfg)
	if err := engine.Start(); err != nil {
		return err
	}
	<-s.stopped
	engine.Stop()
	return nil
}

// nbioUpgrader has the callbacks of both sides.
func nbioUpgrader(e Events) *websocket.Upgrader {
	u := websocket.NewUpgrader()
	u.BlockingModAsyncWrite = false
	u.OnOpen(func(c *websocket.Conn) { e.Opened(nbioConn{c}) })
	u.OnMessage(func(c *websocket.Conn, _ websocket.MessageType, p []byte) { e.Message(nbioConn{c}, p) })
	return u
}

// nbioClients is the engine that all dials share.
var nbioClients = sync.OnceValues(func() (*nbhttp.Engine, error) {
	e := nbhttp.NewEngine(nbhttp.Config{ReleaseWebsocketPayload: true})
	return e, e.Start()
})

func dialNBIO(ctx context.Context, c *Client) (Link, error) {
	engine, err := nbioClients()
	if err != nil {
		return Link{}, err
	}
	u := c.Shared(func() any { return nbioUpgrader(c) }).(*websocket.Upgrader)
	d := &websocket.Dialer{Engine: engine, Upgrader: u, DialTimeout: 10 * time.Second}
	if c.Work.TLS {
		d.TLSClientConfig = &tls.Config{RootCAs: c.TLS.RootCAs, ServerName: c.TLS.ServerName}
	}
	conn, _, err := d.DialContext(ctx, c.url(), nil)
	if err != nil {
		return Link{}, err
	}
	return Link{Event: nbioConn{conn}}, nil
}

type nbioConn struct{ *websocket.Conn }

func (c nbioConn) WriteMessage(p []byte) error {
	return c.Conn.WriteMessage(websocket.BinaryMessage, p)
}
