package faults_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// echoService returns the payloads that it gets.
type echoService struct {
	testgrpc.UnimplementedTestServiceServer
}

func (echoService) UnaryCall(_ context.Context, in *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{Payload: in.GetPayload()}, nil
}

func (echoService) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	for {
		in, err := stream.Recv()
		if err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if err := stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: in.GetPayload()}); err != nil {
			return err
		}
	}
}

// grpcThrough starts a server, and a client that reaches it through a proxy.
func grpcThrough(t *testing.T, scheme string, keepAlive time.Duration, plan func(i int) plan) testgrpc.TestServiceClient {
	t.Helper()
	ln := newListener(scheme, keepAlive)
	must(t, ln.Listen("tcp", "127.0.0.1:0"))
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, echoService{})
	var served sync.WaitGroup
	served.Go(func() {
		if err := server.Serve(ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { server.Stop(); served.Wait() })
	p := newProxy(t, "tcp", ln.Addr().String(), plan)
	d := newDialer(keepAlive)
	d.URL = scheme + "://" + p.addr + "/"
	cc, err := grpc.NewClient("passthrough:///walve",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 3 * time.Second}), // with no delay between attempts
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }))
	must(t, err)
	t.Cleanup(func() { cc.Close() })
	return testgrpc.NewTestServiceClient(cc)
}

func payload(id uint64) *testgrpc.Payload {
	b := make([]byte, 1+rand.N(100_000))
	transfer{id: id}.content(clientSide).Read(b)
	return &testgrpc.Payload{Body: b}
}

// call makes a unary call and checks what it returns.
func call(ctx context.Context, client testgrpc.TestServiceClient, id uint64) error {
	p := payload(id)
	out, err := client.UnaryCall(ctx, &testgrpc.SimpleRequest{Payload: p}, grpc.WaitForReady(true))
	if err == nil && !bytes.Equal(out.GetPayload().GetBody(), p.Body) {
		return fmt.Errorf("call %d returned other bytes", id)
	}
	return err
}

// echoed has a stream return payloads.
func echoed(ctx context.Context, client testgrpc.TestServiceClient, messages int) error {
	stream, err := client.FullDuplexCall(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for id := range uint64(messages) {
		p := payload(id)
		if err := stream.Send(&testgrpc.StreamingOutputCallRequest{Payload: p}); err != nil && err != io.EOF {
			return err
		}
		out, err := stream.Recv() // tells what ended Send
		if err != nil {
			return err
		}
		if !bytes.Equal(out.GetPayload().GetBody(), p.Body) {
			return fmt.Errorf("message %d came back with other bytes", id)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("at the end: %v", err)
	}
	return nil
}

// TestGRPCLossless: what delays and splits fails no call.
func TestGRPCLossless(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		f := fault{split: upTo(20_000), delay: delays(time.Millisecond)}
		client := grpcThrough(t, scheme, timeout, func(int) plan { return plan{f, f} })
		ctx := bound(t)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := echoed(ctx, client, either(3, 100)); err != nil {
					t.Error(err)
				}
				for id := range uint64(either(3, 100)) {
					if err := call(ctx, client, id); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestGRPCLoss: over connections that end in all ways again and again, a call
// returns what it should or Unavailable, and there is always a next connection
// that works.
func TestGRPCLoss(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		ways := []action{halfClose, reset, swallow}
		if scheme == "wss" {
			ways = append(ways, corrupt)
		}
		client := grpcThrough(t, scheme, time.Second, func(i int) plan {
			f := fault{at: 4000 + rand.Int64N(400_000), do: ways[i/2%len(ways)], split: upTo(20000)}
			if i%2 == 0 {
				return plan{up: f}
			}
			return plan{down: f}
		})
		ctx := bound(t)
		var failed, worked int
		for id := uint64(0); worked < either(10, 200) || failed < either(2, 20); id++ {
			err := call(ctx, client, id)
			switch {
			case err == nil:
				worked++
			case status.Code(err) == codes.Unavailable:
				failed++
			default:
				t.Fatal(err)
			}
		}
		t.Logf("%d calls worked, %d did not", worked, failed)
	})
}
