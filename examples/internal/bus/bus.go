// Package bus connects an example to NATS: to servers that are there already,
// or to one of its own.
package bus

import (
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Connect connects to the servers at url. Without a url it starts one in this
// process, which nobody else can reach. stop ends what was started.
func Connect(url string) (nc *nats.Conn, stop func(), err error) {
	if url != "" {
		if nc, err = nats.Connect(url, nats.MaxReconnects(-1)); err != nil {
			return nil, nil, err
		}
		return nc, nc.Close, nil
	}
	s, err := Start(&server.Options{DontListen: true})
	if err != nil {
		return nil, nil, err
	}
	if nc, err = nats.Connect("", nats.InProcessServer(s)); err != nil {
		s.Shutdown()
		return nil, nil, err
	}
	return nc, func() { nc.Close(); s.Shutdown(); s.WaitForShutdown() }, nil
}

// Start starts a server in this process.
func Start(options *server.Options) (*server.Server, error) {
	options.NoSigs, options.NoLog = true, true
	s, err := server.NewServer(options)
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, errors.New("the NATS server does not start")
	}
	return s, nil
}
