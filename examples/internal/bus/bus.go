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
// process, which nobody else can reach. stop waits until subscribers have had
// what there was for them, and ends what was started.
func Connect(url string) (nc *nats.Conn, stop func(), err error) {
	var own *server.Server
	closed := make(chan struct{})
	options := []nats.Option{
		nats.MaxReconnects(-1), nats.DrainTimeout(5 * time.Second), nats.ClosedHandler(func(*nats.Conn) { close(closed) }),
	}
	if url == "" {
		if own, err = Start(&server.Options{DontListen: true}); err != nil {
			return nil, nil, err
		}
		options = append(options, nats.InProcessServer(own))
	}
	stopServer := func() {
		if own != nil {
			own.Shutdown()
			own.WaitForShutdown()
		}
	}
	if nc, err = nats.Connect(url, options...); err != nil {
		stopServer()
		return nil, nil, err
	}
	return nc, func() {
		if nc.Drain() != nil {
			nc.Close()
		}
		<-closed
		stopServer()
	}, nil
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
