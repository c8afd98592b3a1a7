package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
)

// tcpPeer is the limit: the same bytes without WebSocket. A handshake is the
// same request and answer, neither parsed nor made anew.
var tcpPeer = &Peer{
	Name:  "tcp",
	Usage: "the same payload over net.TCPConn, without frames; handshakes: a fixed answer to a request that is not parsed",
	Raw:   true,
	Only:  func(w Work) bool { return !w.TLS },
	Serve: serveTCP,
	Dial:  dialBare,
}

// tlsPeer is the limit of wss.
var tlsPeer = &Peer{
	Name:  "tls",
	Usage: "the same payload over crypto/tls, without frames",
	Raw:   true,
	Only:  func(w Work) bool { return w.TLS },
	Serve: serveTCP,
	Dial:  dialBare,
}

func serveTCP(s *Server, ln net.Listener) error {
	return acceptLoop(ln, func(c net.Conn) {
		c, err := s.secure(c)
		if err != nil {
			s.fail("tls", err)
			return
		}
		if s.Work.Kind == Handshake {
			err := readHead(c, func([]byte) error {
				_, err := io.WriteString(c, fixedAnswer)
				return err
			})
			if err != nil {
				s.fail("handshake", err)
			}
		}
		s.Here(Link{Stream: c})
	})
}

func dialBare(ctx context.Context, c *Client) (Link, error) {
	conn, err := connect(ctx, c, c.Work.Kind == Handshake)
	if err != nil {
		return Link{}, err
	}
	return Link{Stream: conn}, nil
}

// netHTTPPeer shows what net/http alone costs in a handshake.
var netHTTPPeer = &Peer{
	Name:  "net/http",
	Usage: "a handler that hijacks and gives a fixed answer: what net/http alone costs",
	Only:  func(w Work) bool { return w.Kind == Handshake && w.Role == AsServer },
	Serve: func(s *Server, ln net.Listener) error {
		return serveHTTP(s, ln, func(w http.ResponseWriter, r *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, err = io.WriteString(c, fixedAnswer)
			}
			if err != nil {
				s.fail("handshake", err)
				return
			}
			s.Go(Link{Stream: c})
		})
	},
}

// serveHTTP runs a plain http.Server, as nearly every program with WebSockets
// does.
func serveHTTP(s *Server, ln net.Listener, handler http.HandlerFunc) error {
	if s.TLS != nil {
		ln = tls.NewListener(ln, s.TLS)
	}
	return (&http.Server{Handler: handler}).Serve(ln)
}

// url is where a client's library connects to.
func (c *Client) url() string {
	if c.Work.TLS {
		return "wss://" + c.Addr + "/bench"
	}
	return "ws://" + c.Addr + "/bench"
}
