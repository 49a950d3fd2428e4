package postgres_test

import (
	"testing"

	"github.com/nexero-vr/nexero/internal/envelope"
)

// A number that a rollback took back must not be remembered: events under it
// would belong to no session.
//
// rule 2
func TestLoad_RollbackTakesSessionNumbersBack(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.exec(`CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END $$`)
	f.exec(`CREATE TRIGGER refuse BEFORE INSERT ON nexero.session_touches EXECUTE FUNCTION public.refuse()`)
	b := batch("a").poses(0, 1).seal(t)
	if _, err := f.store.Load(t.Context(), []envelope.Batch{b}); err == nil {
		t.Fatal("the load went through")
	}
	f.wantEmpty()
	f.exec(`DROP TRIGGER refuse ON nexero.session_touches`)
	f.load(b)
	f.wantExact()
}
