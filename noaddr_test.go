package walve_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

type noAddr struct{ net.Conn }

func (noAddr) LocalAddr() net.Addr  { return nil }
func (noAddr) RemoteAddr() net.Addr { return nil }

// TestNoAddr: a NetDial's conn without addresses does not make errors panic.
func TestNoAddr(t *testing.T) {
	ln, err := walve.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := &walve.Dialer{NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return noAddr{c}, err
	}}
	c, err := d.DialURL(t.Context(), "ws://"+ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now())
	defer func() {
		if r := recover(); r != nil {
			t.Error("panic:", r)
		}
	}()
	_, err = c.Read(make([]byte, 1))
	t.Log(err)
}

type noAddrs struct{ net.Listener }

func (l noAddrs) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return noAddr{c}, nil
}

func TestNoAddrServer(t *testing.T) {
	inner, _ := net.Listen("tcp", "127.0.0.1:0")
	ln := walve.NewListener(noAddrs{inner})
	defer ln.Close()
	c, err := walve.Dial(t.Context(), "ws://"+inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(s.LocalAddr(), s.RemoteAddr())
	s.SetReadDeadline(time.Now())
	_, err = s.Read(make([]byte, 1))
	t.Log(err)
	s.Close()
}
