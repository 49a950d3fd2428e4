// Package testkit gives tests the real servers: a NATS server of their own, and
// databases of their own on one PostgreSQL cluster that all packages of a run
// share. There are no fakes here and nothing is skipped: a test that cannot have
// its server fails.
//
// The cluster's address comes from NEXERO_TEST_DATABASE_URL, which test/cluster
// sets around a whole run. Without it the first test that asks starts a cluster
// for its process; the package's TestMain then has to be [Main], which stops it.
// Either way the cluster ends and its directory goes when its owner dies,
// however it dies.
//
// Only tests and programs below test/ may import this package.
package testkit
