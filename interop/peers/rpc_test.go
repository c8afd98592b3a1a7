package peers_test

import (
	"errors"
	"net/rpc"
	"sync"
	"testing"

	"github.com/bodokaiser/walve"
)

// Arith is a receiver of net/rpc.
type Arith struct{}

func (Arith) Double(p []byte, reply *[]byte) error {
	*reply = append(append(*reply, p...), p...)
	return nil
}

func (Arith) Fail(reason string, _ *int) error { return errors.New(reason) }

func TestNetRPC(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		server := rpc.NewServer()
		if err := server.Register(Arith{}); err != nil {
			t.Fatal(err)
		}
		go serveRPC(server, ln)
		client := rpc.NewClient(dial(t, d))
		var calls sync.WaitGroup
		for i := range 50 {
			calls.Go(func() {
				var got []byte
				if err := client.Call("Arith.Double", pattern(i*i*40), &got); err != nil || len(got) != 2*i*i*40 {
					t.Errorf("call %d: %d bytes, %v", i, len(got), err)
				}
			})
		}
		calls.Wait()
		if err := client.Call("Arith.Fail", "because", new(int)); err == nil || err.Error() != "because" {
			t.Errorf("got %v", err)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
}

// serveRPC is rpc.Server.Accept, which logs the end of the listener.
func serveRPC(s *rpc.Server, ln *walve.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go s.ServeConn(c)
	}
}
