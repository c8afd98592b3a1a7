package peers_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/bodokaiser/walve"
	"github.com/hashicorp/yamux"
	"github.com/xtaci/smux"
)

// A session is one end of a stream multiplexer.
type session struct {
	open, accept func() (net.Conn, error)
	close        func() error
}

var multiplexers = []struct {
	name           string
	server, client func(net.Conn) (session, error)
}{
	{"yamux", yamuxSession(yamux.Server), yamuxSession(yamux.Client)},
	{"smux", smuxSession(smux.Server), smuxSession(smux.Client)},
}

func yamuxSession(newSession func(io.ReadWriteCloser, *yamux.Config) (*yamux.Session, error)) func(net.Conn) (session, error) {
	return func(c net.Conn) (session, error) {
		config := yamux.DefaultConfig()
		config.LogOutput = io.Discard
		s, err := newSession(c, config)
		if err != nil {
			return session{}, err
		}
		return session{s.Open, s.Accept, s.Close}, nil
	}
}

func smuxSession(newSession func(io.ReadWriteCloser, *smux.Config) (*smux.Session, error)) func(net.Conn) (session, error) {
	return func(c net.Conn) (session, error) {
		config := smux.DefaultConfig()
		config.Version = 2 // which has flow control for each stream
		s, err := newSession(c, config)
		if err != nil {
			return session{}, err
		}
		return session{
			func() (net.Conn, error) { return s.OpenStream() },
			func() (net.Conn, error) { return s.AcceptStream() },
			s.Close,
		}, nil
	}
}

func TestMultiplexers(t *testing.T) {
	t.Parallel()
	for _, m := range multiplexers {
		t.Run(m.name, func(t *testing.T) {
			overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
				client, err := m.client(dial(t, d))
				if err != nil {
					t.Fatal(err)
				}
				server, err := m.server(accept(t, ln))
				if err != nil {
					t.Fatal(err)
				}
				var echoes sync.WaitGroup
				for _, s := range []session{client, server} {
					echoes.Go(func() { s.echo(&echoes) })
				}
				var streams sync.WaitGroup
				for i := range 200 {
					s := client
					if i%2 == 1 {
						s = server
					}
					streams.Go(func() {
						if err := s.exchange(pattern(30_000)[i:]); err != nil {
							t.Error(i, err)
						}
					})
				}
				streams.Wait()
				client.close()
				server.close()
				echoes.Wait()
			})
		})
	}
}

// echo returns every stream its bytes, until the session ends.
func (s session) echo(wg *sync.WaitGroup) {
	for {
		c, err := s.accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			io.Copy(c, c)
			c.Close()
		})
	}
}

// exchange sends p through a new stream and reads it back.
func (s session) exchange(p []byte) error {
	c, err := s.open()
	if err != nil {
		return err
	}
	defer c.Close()
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(p)
		written <- err
	}()
	got := make([]byte, len(p))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, p) {
		return errors.New("other bytes came back")
	}
	return <-written
}
